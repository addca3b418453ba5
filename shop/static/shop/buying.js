// What choosing seats and choosing tickets have in common: the admission, and what follows a reservation.

import {NotAdmitted, SignedOut} from "./client/index.js";
import {$, countdown, everySecondUntil, h, queueFeed, show, signInPanel, t} from "./page.js";

/** Follows the admission while somebody chooses: it says when it ends, and that it goes on. */
export function followAdmission(eventId) {
    const feed = queueFeed(eventId);
    let stop = () => {};
    let endsAt = null;
    feed.on("change", ({state, passExpiresAt}) => {
        if (state === "waiting" || state === "none" || state === "cleared") return toWaitingRoom(eventId);
        if (state !== "active" || !passExpiresAt || passExpiresAt === endsAt) return;
        endsAt = passExpiresAt;
        stop();
        stop = everySecondUntil(passExpiresAt, (seconds) => {
            $("admission").textContent = t("admission_ends", {time: countdown(seconds)});
            show($("admission"));
            return seconds > 0;
        });
    });
    feed.follow();
    window.addEventListener("pagehide", () => feed.stop());
}

export function toWaitingRoom(eventId) {
    location.replace(`/shop/events/${eventId}/queue`);
}

/** Goes to the reservation. Going back then leads to the event, and not to a choice that is made. */
export function toReservation({id}) {
    location.replace(`/shop/reservations/${id}`);
}

/** Handles an error that is no matter of the choice itself. True if it was one. */
export function leadsElsewhere(error, eventId) {
    if (error instanceof NotAdmitted) toWaitingRoom(eventId);
    else if (error instanceof SignedOut) $("main").replaceChildren(signInPanel());
    else return false;
    return true;
}

/** A link back, for an event that sells something else than this page does. */
export function elsewhere(eventId, message) {
    $("main").replaceChildren(
        h(
            "div",
            {class: "panel"},
            h("p", {}, message),
            h("a", {class: "button", href: `/shop/events/${eventId}`}, t("back")),
        ),
    );
}
