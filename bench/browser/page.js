// What is measured: a page with the client's feed and <seat-map>, and nothing else.

import "/static/seats/seat-map.js";
import {TicketClient} from "/static/shop/client/index.js";

const map = document.querySelector("seat-map");
const settings = new URLSearchParams(location.search);
const feed = new TicketClient({sockets: settings.get("sockets")}).seatMap("event", {withEvent: false});
const figures = {drawn: 0, changes: 0, longest: 0, interval: 0, frames: 0, slow: []};
window.figures = figures;

feed.on("snapshot", (snapshot) => {
    map.given = snapshot.layout;
    map.load(snapshot);
    requestAnimationFrame(() => setTimeout(() => (figures.drawn ||= performance.now()))); // after the frame's own work
});
feed.on("changes", (changes) => {
    map.change(changes);
    figures.changes += changes.length;
});
feed.start();

/** Frames as Chromium counts them: those that took 50 ms or more, from the first script to the end of painting. */
new PerformanceObserver((list) => {
    for (const {startTime, duration} of list.getEntries()) figures.slow.push({at: startTime, took: duration});
}).observe({type: "long-animation-frame", buffered: true});

/** How long it takes from the beginning of a frame until everything that was to be done in it is done; and between frames. */
let last = 0;
function frame(began) {
    if (last) figures.interval = Math.max(figures.interval, began - last);
    last = began;
    figures.frames++;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => (figures.longest = Math.max(figures.longest, performance.now() - began));
    channel.port2.postMessage(0);
    requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

window.startOver = () => {
    Object.assign(figures, {changes: 0, longest: 0, interval: 0, frames: 0, slow: []});
    last = 0;
};
window.answered = () => performance.getEntriesByType("resource").find(({name}) => name.includes("/seats/events/")).responseEnd;
