// The waiting room: join, see the line move, and be taken on when it is one's turn.

import {
    $,
    client,
    config,
    duration,
    explain,
    h,
    moment,
    number,
    queueFeed,
    session,
    show,
    signInPanel,
    speak,
    t,
    ask,
} from "../page.js";
import {solve} from "../proof-of-work.js";

const SPEAK_EVERY_MS = 30_000;
const STAY_MS = 1500; // long enough to read that it is one's turn

const eventId = config.event;
const feed = queueFeed(eventId);
const firstKey = `shop-first-position:${eventId}`;
let next = `/shop/events/${eventId}/seats`;
let spokenAt = 0;
let shownState = "";
let hasSolved = false;

// --- The line ---

feed.on("change", (view) => {
    if (view.state === "waiting") showLine(view);
    if (view.state !== shownState) {
        shownState = view.state;
        changeState(view);
    }
    $("connection").className = `dot ${view.isLive ? "live" : ""}`;
    $("connection").title = t(view.isLive ? "live" : "polled");
});

function showLine(view) {
    const {position, queueSize} = view;
    const isDrawn = position !== null;
    $("position").textContent = isDrawn ? number(position) : "?";
    $("ahead").textContent = isDrawn
        ? position === 1
            ? t("ahead_none")
            : t("ahead", {count: number(position - 1)})
        : t("draw_title");
    $("size").textContent = queueSize ? t("of_total", {count: number(queueSize)}) : "";
    showProgress(position);
    showWait(view);
    const notice = view.isPaused ? "paused" : !view.isAdmitting && !view.opensAt ? "not_admitting" : "";
    $("notice").textContent = notice && t(notice);
    show($("notice"), Boolean(notice));
    if (isDrawn && Date.now() - spokenAt > SPEAK_EVERY_MS) {
        spokenAt = Date.now();
        speak(`${$("ahead").textContent}. ${t("wait_label")}: ${$("wait").textContent}`);
    }
}

/** How far of the way since this tab has joined. */
function showProgress(position) {
    if (position === null) return;
    const first = Math.max(Number(sessionStorage.getItem(firstKey)) || 0, position);
    sessionStorage.setItem(firstKey, String(first));
    $("bar").value = first > 1 ? Math.max(3, (100 * (first - position)) / (first - 1)) : 100;
}

function showWait({estimatedWait, estimatedWaitRange, estimateIsMeasured}) {
    if (!estimatedWait) {
        $("wait").textContent = t("wait_unknown");
        $("wait-range").textContent = "";
        return;
    }
    $("wait").textContent = t(estimateIsMeasured ? "wait_about" : "wait_at_least", {time: duration(estimatedWait)});
    const [low, high] = estimatedWaitRange ?? [];
    const hasBand = estimateIsMeasured && high && duration(low) !== duration(high);
    $("wait-range").textContent = hasBand ? t("wait_range", {low: duration(low), high: duration(high)}) : "";
}

// --- What else may happen ---

function say(...children) {
    $("message").replaceChildren(...children);
    show($("message"), children.length > 0);
}

function changeState(view) {
    const isWaiting = view.state === "waiting";
    show($("line"), isWaiting);
    show($("leave-row"), isWaiting);
    show($("next"), isWaiting || view.state === "joining");
    if (isWaiting) return say();
    const again = h("button", {type: "button", class: "primary", onclick: () => feed.join()}, t("join_again"));
    const back = h("a", {class: "button", href: `/shop/events/${eventId}`}, t("back"));
    const says = {
        joining: () => say(h("p", {}, t("joining"))),
        active: admitted,
        left: () => say(h("p", {}, t("left_line")), h("p", {class: "row"}, again, back)),
        none: () => say(h("p", {}, t("left_line")), h("p", {class: "row"}, again, back)),
        cleared: () => say(h("p", {}, t("queue_cleared")), again),
        replaced: () => say(h("p", {}, t("lost")), again),
        closed: () => say(h("p", {}, t("queue_closed")), back),
        challenge: () => solveChallenge(back),
        "signed-out": () => say(signInPanel()),
    };
    says[view.state]?.();
}

/** What a newcomer has to prove, if the operator wants it. Once: a solution that is refused is not tried again. */
async function solveChallenge(back) {
    say(h("p", {}, t("challenge_needed")));
    try {
        if (hasSolved) throw new Error("refused");
        hasSolved = true;
        await feed.join(await solve(await client.challenge(eventId)));
    } catch {
        say(h("p", {}, t("challenge_unsupported")), back);
    }
}

function admitted() {
    sessionStorage.removeItem(firstKey);
    say(h("p", {class: "big"}, t("admitted")), h("a", {class: "button primary", href: next}, t("go_on")));
    document.title = `${t("admitted")} ${t("shop")}`;
    setTimeout(() => location.replace(next), STAY_MS);
}

feed.on("error", (error) => {
    if (shownState === "joining" || shownState === "") say(h("p", {}, explain(error)));
});

$("leave").addEventListener("click", async () => {
    if (!(await ask(t("leave_sure"), t("leave_yes"), t("leave_no")))) return;
    sessionStorage.removeItem(firstKey);
    await feed.leave().catch(() => {}); // the place is given up when nobody asks for it any more
});

// --- The draw ---

async function showDraw() {
    let draw;
    try {
        draw = await client.draw(eventId);
    } catch {
        return; // most events have none
    }
    show($("draw"));
    $("draw-when").textContent = draw.drawnAt
        ? t("draw_participants", {count: number(draw.participantCount)})
        : t("draw_when", {when: moment(draw.opensAt)});
    const facts = [["draw_commitment", draw.commitment], draw.seed && ["draw_seed", draw.seed]].filter(Boolean);
    $("draw-facts").replaceChildren(
        ...facts.map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {class: "code"}, value))),
        h("div", {}, h("dd", {class: "code", lang: "en"}, draw.howToCheck)),
    );
    if (draw.seed) $("draw-facts").append(h("a", {href: `/queue/draw/${eventId}?participants=all`}, t("draw_list")));
    else if (Date.parse(draw.opensAt) > Date.now())
        setTimeout(showDraw, Math.min(Date.parse(draw.opensAt) - Date.now() + 3000, 2 ** 31 - 1));
}

// --- Begin ---

async function begin() {
    const known = client.event(eventId).then(({event, ticketTypes}) => {
        $("event-name").textContent = event.title;
        if (!event.seat_layout_id && ticketTypes.length) next = `/shop/events/${eventId}/tickets`;
    });
    if (!(await session.ready)) return say(signInPanel());
    await known.catch(() => {}); // the queue says whether there is such an event
    showDraw();
    await feed.join();
}

window.addEventListener("pagehide", () => feed.stop());
begin();
