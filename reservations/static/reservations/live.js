// An event's live page. Seats and stock arrive over a WebSocket; the queue is polled every two seconds, sales every ten.

import {drawQueue, drawSales} from "./charts.js";
import "../seats/seat-map.js";
import {Http, SeatMapFeed} from "../shop/client/index.js";

const QUEUE_POLL_MS = 2000, SALES_POLL_MS = 10000, MIN_SALES_INTERVAL_MS = 2000, MAX_QUEUE_LENGTHS = 300;
const page = JSON.parse(document.getElementById("page").textContent);
const {texts} = page;
const number = (value) => Math.round(value).toLocaleString(document.documentElement.lang);
const compact = (value) => value.toLocaleString(document.documentElement.lang, {notation: "compact", maximumFractionDigits: 2});
const element = (id) => document.getElementById(id);
const show = (id, text) => (element(id).textContent = text);

// --- Seats ---

const map = page.plan.blocks.length ? element("map") : null;
if (map) map.texts = {stage: texts.stage, won: texts.won, available: texts.available, locked: texts.locked, sold: texts.sold};
else element("map-card").hidden = true;

function showCounts() {
    if (map?.isLoaded) showSeats(map.counts);
}

function showSeats({available, locked, sold}) {
    const total = available + locked + sold;
    show("seats-sold", total ? number(sold) : "–");
    show("seats-rest", total ? `/ ${number(total)} · ${texts.locked} ${number(locked)} · ${texts.available} ${number(available)}` : "");
    for (const [name, count] of Object.entries({available, locked, sold})) show(`count-${name}`, `${texts[name]} ${number(count)}`);
}

function seatsChanged(changes) {
    map?.change(changes);
    showCounts();
    if (changes.some(({status}) => status === "sold" || status === "reserved")) fetchSalesSoon();
}

function stockChanged(message) {
    const ticket = stock.get(message.ticketTypeId);
    if (ticket) Object.assign(ticket, {available_quantity: message.availableQuantity, total_quantity: message.totalQuantity});
    showStock();
    fetchSalesSoon();
}

function showBadge(parent, text, kind) {
    const badge = document.createElement("span");
    badge.className = `badge ${kind}`;
    badge.textContent = text;
    parent.replaceChildren(badge);
}

function showConnection(state) {
    const badge = element("connection");
    const shown = state === "stopped" ? "lost" : state;
    badge.textContent = texts[shown];
    badge.className = `badge ${{live: "success", lost: "danger", polled: "warning"}[shown] ?? ""}`;
}

const feed = new SeatMapFeed({http: new Http({base: "/api"}), eventId: page.event, url: page.socket});
feed.on("snapshot", (snapshot) => {
    map?.load(snapshot);
    showCounts();
});
feed.on("changes", seatsChanged);
feed.on("stock", stockChanged);
feed.on("status", (status) => showBadge(element("status"), ...page.statuses[status]));
feed.on("event", ({event}) => showBadge(element("status"), ...page.statuses[event.status]));
feed.on("connection", showConnection);

// --- Stock and sales ---

const stock = new Map();

function showStock() {
    const rows = [...stock.values()].map((ticket) => {
        const unavailable = ticket.total_quantity - ticket.available_quantity;
        const row = document.createElement("div");
        row.className = "row";
        const head = document.createElement("div"), name = document.createElement("b"), count = document.createElement("span");
        const bar = document.createElement("span"), part = document.createElement("i");
        name.textContent = ticket.name;
        count.className = "counts";
        count.textContent = `${number(unavailable)} / ${number(ticket.total_quantity)}`;
        bar.className = "bar wide";
        part.className = "sold";
        part.style.width = `${(100 * unavailable) / Math.max(1, ticket.total_quantity)}%`;
        head.append(name, count);
        bar.append(part);
        row.append(head, bar);
        return row;
    });
    element("stock").replaceChildren(...rows);
    element("stock").parentElement.hidden = rows.length === 0;
}

async function fetchSales() {
    const data = await fetchJson(page.sales);
    if (!data) return;
    stock.clear();
    for (const ticket of data.stock) stock.set(ticket.id, ticket);
    showStock();
    if (!map?.isLoaded) showSeats(data.seats);
    const {available, locked, sold} = data.tickets;
    show("tickets-sold", available + locked + sold ? number(sold) : "–");
    show("tickets-rest", available + locked + sold ? `/ ${number(available + locked + sold)} · ${texts.locked} ${number(locked)}` : "");
    const amount = data.sales.reduce((sum, row) => sum + row.amount, 0);
    show("amount", texts.won.replace("%s", compact(amount)));
    element("amount").title = texts.won.replace("%s", number(amount));
    const now = Date.now() / 1000;
    const latest = data.sales.filter((row) => row.step === 60 && row.at >= now - 360 && row.at + 60 <= now);
    const pace = latest.reduce((sum, row) => sum + row.sold, 0) / 5;
    show("pace", pace ? texts.perMinute.replace("%s", number(pace)) : "");
    drawSales(element("chart"), data.sales, {texts, zone: page.zone, number});
}

let salesFetchedAt = 0, salesTimer = 0;
function fetchSalesSoon() {
    if (salesTimer) return;
    salesTimer = setTimeout(() => {
        salesTimer = 0;
        salesFetchedAt = Date.now();
        fetchSales();
    }, Math.max(0, salesFetchedAt + MIN_SALES_INTERVAL_MS - Date.now()));
}

// --- Queue ---

const queueLengths = [];

function duration(seconds) {
    if (seconds < 90) return texts.seconds.replace("%s", number(seconds));
    if (seconds < 5400) return texts.minutes.replace("%s", number(seconds / 60));
    return texts.hours.replace("%s", (seconds / 3600).toFixed(1));
}

function waitKind(data, state) {
    if (!data.waiting) return texts.nobodyWaits;
    if (data.wait === null) return state ?? texts.notAdmitting;
    return data.waitIsMeasured ? texts.measured : texts.byTheLimits;
}

async function fetchQueue() {
    const data = await fetchJson(page.queue);
    if (!data || data.waiting === undefined) {
        show("queue-state", texts.unavailable);
        return;
    }
    const state = {off: texts.off, closed: texts.closed, paused: texts.paused, notOpen: texts.notOpen}[data.state];
    show("waiting", number(data.waiting));
    show("queue-state", state ?? (data.isAdmitting ? texts.open : texts.notAdmitting));
    const limit = document.createElement("small");
    limit.textContent = ` / ${number(data.threshold)}`;
    element("active").replaceChildren(number(data.active), limit);
    element("active-bar").style.width = `${Math.min(100, (100 * data.active) / Math.max(1, data.threshold))}%`;
    show("admitted", number(data.admittedPerMinute));
    show("rate", `≤ ${texts.perMinute.replace("%s", number(data.rate * 60))}`);
    show("wait", data.waiting && data.wait !== null ? duration(data.wait) : "–");
    show("wait-kind", waitKind(data, state));
    queueLengths.push(data.waiting);
    if (queueLengths.length > MAX_QUEUE_LENGTHS) queueLengths.shift();
    drawQueue(element("queue-chart"), queueLengths, number);
}

async function fetchJson(url) {
    try {
        const response = await fetch(url, {cache: "no-store"});
        return response.ok ? await response.json() : null;
    } catch {
        return null;
    }
}

function every(milliseconds, call) {
    call();
    setInterval(() => document.hidden || call(), milliseconds);
}

feed.start();
every(QUEUE_POLL_MS, fetchQueue);
every(SALES_POLL_MS, fetchSalesSoon);
