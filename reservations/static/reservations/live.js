// An event's live page: seats and stock over the socket, the line every two seconds, what is sold every ten.

import {drawLine, drawSales} from "./charts.js";
import {Feed} from "../seats/feed.js";
import {SeatMap} from "../seats/seat_map.js";

const LINE_MS = 2000, SALES_MS = 10000, SOONEST_SALES_MS = 2000, REMEMBERED = 300;
const page = JSON.parse(document.getElementById("page").textContent);
const {texts} = page;
const number = (value) => Math.round(value).toLocaleString(document.documentElement.lang);
const compact = (value) => value.toLocaleString(document.documentElement.lang, {notation: "compact", maximumFractionDigits: 2});
const element = (id) => document.getElementById(id);
const show = (id, text) => (element(id).textContent = text);

// --- Seats ---

const map = page.plan.blocks.length ? new SeatMap(element("map"), element("tip"), page.plan, texts) : null;
if (!map) element("map-card").hidden = true;

function showCounts() {
    if (map) showSeats(map.counts);
}

function showSeats({free, held, sold}) {
    const total = free + held + sold;
    show("seats-sold", total ? number(sold) : "–");
    show("seats-rest", total ? `/ ${number(total)} · ${texts.held} ${number(held)} · ${texts.free} ${number(free)}` : "");
    for (const [name, count] of Object.entries({free, held, sold})) show(`count-${name}`, `${texts[name]} ${number(count)}`);
}

const feed = new Feed(page, {
    map(snapshot) {
        if (map && snapshot) map.load(snapshot.seats);
        showCounts();
    },
    seat(id, status) {
        map?.change(id, status);
        showCounts();
        if (status === "sold" || status === "reserved") askSalesSoon();
    },
    stock(message) {
        const ticket = stock.get(message.ticketTypeId);
        if (ticket) Object.assign(ticket, {available_quantity: message.availableQuantity, total_quantity: message.totalQuantity});
        showStock();
        askSalesSoon();
    },
    status(message) {
        const [label, kind] = page.statuses[message.status];
        const badge = document.createElement("span");
        badge.className = `badge ${kind}`;
        badge.textContent = label;
        element("status").replaceChildren(badge);
    },
    state(state) {
        const badge = element("feed");
        badge.textContent = texts[state];
        badge.className = `badge ${{live: "good", lost: "bad", polled: "warm"}[state] ?? ""}`;
    },
});

// --- Stock and sales ---

const stock = new Map();

function showStock() {
    const rows = [...stock.values()].map((ticket) => {
        const taken = ticket.total_quantity - ticket.available_quantity;
        const row = document.createElement("div");
        row.className = "row";
        const head = document.createElement("div"), name = document.createElement("b"), count = document.createElement("span");
        const bar = document.createElement("span"), part = document.createElement("i");
        name.textContent = ticket.name;
        count.className = "counts";
        count.textContent = `${number(taken)} / ${number(ticket.total_quantity)}`;
        bar.className = "bar wide";
        part.className = "sold";
        part.style.width = `${(100 * taken) / Math.max(1, ticket.total_quantity)}%`;
        head.append(name, count);
        bar.append(part);
        row.append(head, bar);
        return row;
    });
    element("stock").replaceChildren(...rows);
    element("stock").parentElement.hidden = rows.length === 0;
}

async function askSales() {
    const found = await ask(page.sales);
    if (!found) return;
    stock.clear();
    for (const ticket of found.stock) stock.set(ticket.id, ticket);
    showStock();
    if (!map || !map.seats.size) showSeats(found.seats);
    const {free, held, sold} = found.tickets;
    show("tickets-sold", free + held + sold ? number(sold) : "–");
    show("tickets-rest", free + held + sold ? `/ ${number(free + held + sold)} · ${texts.held} ${number(held)}` : "");
    const amount = found.sales.reduce((sum, row) => sum + row.amount, 0);
    show("amount", texts.won.replace("%s", compact(amount)));
    element("amount").title = texts.won.replace("%s", number(amount));
    const now = Date.now() / 1000;
    const latest = found.sales.filter((row) => row.step === 60 && row.at >= now - 360 && row.at + 60 <= now);
    const pace = latest.reduce((sum, row) => sum + row.sold, 0) / 5;
    show("pace", pace ? texts.perMinute.replace("%s", number(pace)) : "");
    drawSales(element("chart"), found.sales, {texts, zone: page.zone, number});
}

let salesAsked = 0, salesTimer = 0;
function askSalesSoon() {
    if (salesTimer) return;
    salesTimer = setTimeout(() => {
        salesTimer = 0;
        salesAsked = Date.now();
        askSales();
    }, Math.max(0, salesAsked + SOONEST_SALES_MS - Date.now()));
}

// --- The line ---

const lengths = [];

function span(seconds) {
    if (seconds < 90) return texts.seconds.replace("%s", number(seconds));
    if (seconds < 5400) return texts.minutes.replace("%s", number(seconds / 60));
    return texts.hours.replace("%s", (seconds / 3600).toFixed(1));
}

async function askLine() {
    const found = await ask(page.line);
    if (!found || found.line === undefined) {
        show("line-state", texts.unavailable);
        return;
    }
    const state = {off: texts.off, closed: texts.closed, paused: texts.paused, notOpen: texts.notOpen}[found.state];
    show("line", number(found.line));
    show("line-state", state ?? (found.isAdmitting ? texts.open : texts.notAdmitting));
    const limit = document.createElement("small");
    limit.textContent = ` / ${number(found.threshold)}`;
    element("inside").replaceChildren(number(found.inside), limit);
    element("inside-bar").style.width = `${Math.min(100, (100 * found.inside) / Math.max(1, found.threshold))}%`;
    show("outflow", number(found.outflow));
    show("rate", `≤ ${texts.perMinute.replace("%s", number(found.rate * 60))}`);
    show("wait", found.line ? span(found.wait) : "–");
    show("wait-kind", found.line ? (found.waitIsMeasured ? texts.measured : texts.byTheLimits) : texts.nobodyWaits);
    lengths.push(found.line);
    if (lengths.length > REMEMBERED) lengths.shift();
    drawLine(element("line-chart"), lengths, number);
}

async function ask(url) {
    try {
        const answer = await fetch(url, {cache: "no-store"});
        return answer.ok ? await answer.json() : null;
    } catch {
        return null;
    }
}

function every(milliseconds, call) {
    call();
    setInterval(() => document.hidden || call(), milliseconds);
}

feed.start();
every(LINE_MS, askLine);
every(SALES_MS, askSalesSoon);
