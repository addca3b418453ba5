// <seat-map>: an event's seats as a picture and as a list, to look at or to choose from.
//
// How to use it: docs/seat-map.md.

import {Camera} from "./camera.js";
import {listen} from "./gestures.js";
import {legendOf, lookOf} from "./legend.js";
import {Painter} from "./painter.js";
import {SeatList} from "./seat-list.js";
import {Seats} from "./seats.js";
import {MINE, SELECTED, Selection} from "./selection.js";
import {ENGLISH, KOREAN} from "./texts.js";

const MIN_TARGET = {finger: 24, mouse: 10}; // CSS pixels: a smaller seat is zoomed to, not chosen
const NEAR = 32; // CSS pixels of a seat after that
const MIN_HEIGHT = 280;
const ANNOUNCE_MS = 800;
const LIST_AFTER_MS = 60; // the first picture is drawn before the list is made

/**
 * @typedef {import("./seats.js").Seat} Seat
 * @typedef {object} Conflict
 * @property {Seat[]} lost were selected, and are another buyer's now
 * @property {Seat[][]} alternatives as many seats beside each other that are available nearby: at most three groups
 */

export class SeatMap extends HTMLElement {
    constructor() {
        super();
        this.seats = new Seats({}, []);
        this.chosen = new Selection((index) => this.touched(index));
        this.camera = new Camera();
        this.isLoaded = false;
        /** @type {Partial<typeof ENGLISH>} */
        this.givenTexts = {};
        this.words = {texts: ENGLISH, money: (/** @type {number} */ won) => String(won)};
        // What is to be drawn.
        /** @type {Set<number>} */
        this.changed = new Set(); // seats, since the last frame
        this.isStale = false; // everything
        this.frame = 0;
        this.isDescribed = false;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.listTimer = undefined;
        this.calm = matchMedia("(prefers-reduced-motion: reduce)");
        // What is to be said.
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.announceTimer = undefined;
        // The elements.
        this.canvas = document.createElement("canvas");
        this.painter = new Painter(this.canvas);
        this.picture = element("div", "seat-map-picture");
        this.tip = element("div", "seat-map-tip");
        this.tools = element("div", "seat-map-tools");
        this.legend = element("ul", "seat-map-legend");
        this.live = element("div", "seat-map-status");
        /** @type {SeatList | null} */
        this.list = null;
        this.isBuilt = false;
    }

    connectedCallback() {
        if (this.isBuilt) return; // moved
        this.isBuilt = true;
        this.build();
        this.watch();
        this.speak();
    }

    // --- For the page ---

    /** Texts instead of those of `texts.js` (English and Korean). @param {Partial<typeof ENGLISH>} texts */
    set texts(texts) {
        this.givenTexts = texts;
        if (this.isBuilt) this.speak();
    }

    /** How many seats may be selected. @param {number} limit */
    set limit(limit) {
        this.chosen.limit = limit;
    }

    get limit() {
        return this.chosen.limit;
    }

    /** A new snapshot. What is selected stays, as far as it is still available. @param {{layout?: unknown, seats: any[]}} snapshot */
    load({layout, seats}) {
        const before = this.isLoaded ? this.seats : null;
        this.seats = new Seats(layout, seats);
        this.chosen.moveTo(this.seats);
        this.isLoaded = true;
        this.measure();
        this.show();
        if (before) this.flashDifferences(before);
        this.drop(this.chosen.lost());
    }

    /** Changes of seats, as the feed tells them. @param {Iterable<{seatId: string, status: string}>} changes */
    change(changes) {
        for (const {seatId, status} of changes) {
            const index = this.seats.change(seatId, status);
            if (index < 0) continue;
            this.chosen.settle(index);
            this.touched(index);
            this.flash(index);
        }
        this.drop(this.chosen.lost());
        this.plan();
    }

    /** How many seats are in each state. */
    get counts() {
        const [available, locked, sold] = this.seats.counts;
        return {available, locked, sold};
    }

    /** What is selected and not yet held. @returns {Seat[]} */
    get selection() {
        return this.chosen.with(SELECTED).map((index) => this.seats.seat(index));
    }

    /** @param {Iterable<string>} ids seats that are available; others are ignored */
    select(ids) {
        this.chosen.replace(ids);
        this.selectionChanged();
    }

    /**
     * Seats that this buyer is reserving or holds. Say it before the request: then the changes that it causes are no conflict.
     *
     * @param {Iterable<string>} ids
     */
    hold(ids) {
        this.chosen.hold(ids);
        this.plan();
    }

    /**
     * Seats that the service says are another buyer's. A change may have told so already, while they were held: then it was no conflict.
     *
     * @param {Iterable<string | null>} labelsOrIds
     */
    refuse(labelsOrIds) {
        this.drop(this.chosen.named(/** @type {Set<string>} */ (new Set(labelsOrIds))));
    }

    /** Brings a seat into view, large enough to be chosen. @param {string} id */
    showSeat(id) {
        const index = this.seats.indexes.get(id);
        if (index !== undefined) this.bringIntoView(index);
    }

    /** Brings a section into view. @param {string} name */
    showSection(name) {
        const section = this.seats.sections.find((one) => one.name === name);
        if (!section) return;
        const scale = Math.min((this.camera.width * 0.94) / section.width, (this.camera.height * 0.9) / (section.rows + 2));
        this.camera.center(section.x + section.width / 2, section.y + section.rows / 2 - 0.5, scale);
        this.moved();
    }

    // --- Selecting ---

    /** @param {number} index */
    toggle(index) {
        if (this.hasAttribute("readonly")) return;
        const {texts} = this.words;
        const result = this.chosen.toggle(index);
        if (result === "unavailable") return this.say(texts.notAvailable, index);
        if (result === "limit") {
            this.announce(texts.limit.replace("%s", String(this.limit)));
            return this.tell("seatlimit", {limit: this.limit});
        }
        this.say(result === "selected" ? texts.nowSelected : texts.deselected, index);
        this.selectionChanged();
    }

    selectionChanged() {
        const seats = this.selection;
        this.tell("seatselect", {seats, total: seats.reduce((sum, seat) => sum + seat.price, 0)});
        this.plan();
    }

    /** Seats that were this buyer's, as it seemed, and are another's. @param {number[]} lost */
    drop(lost) {
        if (!lost.length) return;
        const groups = this.chosen.lose(lost);
        const seats = (/** @type {number[]} */ indexes) => indexes.map((index) => this.seats.seat(index));
        this.say(this.words.texts.conflict, lost[0]);
        this.selectionChanged();
        this.tell("seatconflict", {lost: seats(lost), alternatives: groups.map(seats)});
    }

    /** @param {number} index a seat that looks different now */
    touched(index) {
        this.changed.add(index);
        this.list?.refresh(index);
    }

    // --- Building ---

    build() {
        const {picture, canvas, tip, tools, legend, live} = this;
        picture.tabIndex = 0;
        picture.setAttribute("role", "application");
        canvas.setAttribute("aria-hidden", "true");
        tip.hidden = true;
        live.setAttribute("role", "status");
        picture.append(canvas, tip);
        const frame = element("div", "seat-map-frame");
        frame.append(picture, tools);
        if (!this.hasAttribute("without-legend")) frame.append(legend);
        const body = element("div", "seat-map-body");
        body.append(frame);
        this.replaceChildren(body, live);
        if (!this.hasAttribute("without-list")) {
            const aside = element("section", "seat-map-list");
            this.list = new SeatList(aside, {toggle: (index) => this.toggle(index), show: (index) => this.bringIntoView(index)});
            body.append(aside);
        }
        /** @type {[string, "zoomIn" | "zoomOut" | "whole", () => void][]} */
        const buttons = [
            ["+", "zoomIn", () => this.zoom(1.6)],
            ["−", "zoomOut", () => this.zoom(1 / 1.6)],
            ["⤢", "whole", () => this.fit()],
        ];
        this.buttons = buttons.map(([sign, name, act]) => {
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = sign;
            button.addEventListener("click", act);
            tools.append(button);
            return {button, name};
        });
    }

    watch() {
        const {canvas, picture} = this;
        listen(picture, canvas, {
            pan: (dx, dy) => (this.camera.pan(dx, dy), this.moved()),
            zoom: (factor, x, y) => this.zoom(factor, x, y),
            tap: (x, y, isFinger) => this.tap(x, y, isFinger),
            hover: (x, y) => this.hover(x, y),
            leave: () => this.hideTip(),
            move: (dx, dy) => this.moveCursor(dx, dy),
            choose: () => this.painter.cursor >= 0 && this.toggle(this.painter.cursor),
            fit: () => this.fit(),
            cancel: () => this.hideTip(),
            isFitted: () => this.camera.isFitted,
        });
        picture.addEventListener("blur", () => this.setCursor(-1));
        new ResizeObserver(() => this.measure() && this.draw(performance.now())).observe(picture); // at once: a canvas of another size is empty
        new MutationObserver(() => this.restyle()).observe(document.documentElement, {attributeFilter: ["data-theme", "class", "style"]});
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
    }

    /** In the page's language. */
    speak() {
        const language = this.closest("[lang]")?.getAttribute("lang") ?? "en";
        const texts = {...(language.startsWith("ko") ? KOREAN : ENGLISH), ...this.givenTexts};
        const format = new Intl.NumberFormat(language);
        this.words = {texts, money: (/** @type {number} */ won) => texts.won.replace("%s", format.format(won))};
        this.picture.setAttribute("aria-label", this.list ? texts.picture : texts.pictureOnly);
        for (const {button, name} of this.buttons ?? []) {
            button.setAttribute("aria-label", texts[name]);
            button.title = texts[name];
        }
        Object.assign(this.painter, {texts, format, colourBy: this.getAttribute("colour-by") ?? "price"});
        this.show();
    }

    /** Everything anew: other seats, another language. The picture first. */
    show() {
        if (!this.isBuilt) return;
        this.painter.flashes.clear();
        this.painter.cursor = -1;
        this.restyle();
        if (!this.isDescribed && this.isLoaded) this.listTimer ??= setTimeout(() => this.describe(), LIST_AFTER_MS);
    }

    /** What is beside the picture. */
    describe() {
        const {seats, words, painter} = this;
        this.isDescribed = this.isLoaded;
        this.list?.load(seats, this.chosen.marks, words);
        legendOf(this.legend, {seats, look: painter.look, words, byState: painter.colourBy === "state"});
    }

    /** Other colours. */
    restyle() {
        this.painter.show(this.seats, this.camera, this.chosen.marks, lookOf(this));
        if (this.isDescribed) this.describe();
        this.redraw();
    }

    // --- Looking ---

    /** Fits the picture to the page. @returns {boolean} whether that has changed it */
    measure() {
        const {picture, canvas, camera} = this;
        const {plan} = this.seats;
        const width = picture.clientWidth;
        const most = Math.max(MIN_HEIGHT, 0.7 * innerHeight);
        const height = Math.round(Math.min(most, Math.max(MIN_HEIGHT, (width * plan.height) / plan.width)));
        const isSamePlan = camera.planWidth === plan.width && camera.planHeight === plan.height;
        if (!width || !this.isLoaded || (isSamePlan && camera.width === width && camera.height === height)) return false;
        canvas.style.height = `${height}px`;
        if (!isSamePlan) Object.assign(camera, {planWidth: plan.width, planHeight: plan.height, width: 0}); // shown as a whole again
        camera.resize(width, height);
        this.painter.fit();
        this.moved();
        return true;
    }

    /** @param {number} factor @param {number} [x] @param {number} [y] */
    zoom(factor, x, y) {
        this.camera.zoom(factor, x, y);
        this.moved();
    }

    fit() {
        this.camera.fit();
        this.moved();
    }

    moved() {
        this.hideTip();
        // With everything in view there is nothing to pan, and a finger scrolls the page.
        this.canvas.style.touchAction = this.camera.isFitted ? "pan-y" : "none";
        this.redraw();
    }

    /** @param {number} x @param {number} y @param {boolean} isFinger */
    tap(x, y, isFinger) {
        const point = this.camera.toPlan(x, y);
        const isNear = this.painter.showsSeats && this.camera.scale >= MIN_TARGET[isFinger ? "finger" : "mouse"];
        const index = this.seats.at(point.x, point.y);
        if (isNear) return index >= 0 ? this.toggle(index) : undefined;
        const section = this.seats.sectionAt(point.x, point.y);
        if (!section) return;
        if (!this.painter.showsSeats) return this.showSection(section.name);
        this.camera.center(point.x, point.y, NEAR);
        this.moved();
    }

    /** @param {number} x @param {number} y */
    hover(x, y) {
        const point = this.camera.toPlan(x, y);
        const index = this.painter.showsSeats ? this.seats.at(point.x, point.y) : -1;
        if (index < 0) return this.hideTip();
        this.tip.hidden = false;
        this.tip.textContent = this.nameOf(index);
        const {scale} = this.camera;
        this.tip.style.left = `${(this.seats.x[index] + 0.5 - this.camera.x) * scale}px`;
        this.tip.style.top = `${(this.seats.y[index] - this.camera.y) * scale}px`;
    }

    hideTip() {
        const wasShown = !this.tip.hidden;
        this.tip.hidden = true;
        return wasShown;
    }

    /** @param {number} dx @param {number} dy */
    moveCursor(dx, dy) {
        const from = this.painter.cursor;
        const index = from < 0 ? this.seats.first() : this.seats.next(from, dx, dy);
        if (index < 0) return;
        this.setCursor(index);
        this.bringIntoView(index);
        this.announce(this.nameOf(index), 0);
    }

    /** @param {number} index */
    setCursor(index) {
        if (this.painter.cursor === index) return;
        this.painter.cursor = index;
        this.redraw();
    }

    /** @param {number} index */
    bringIntoView(index) {
        const {camera, seats} = this;
        const [left, top] = [(seats.x[index] - camera.x) * camera.scale, (seats.y[index] - camera.y) * camera.scale];
        const edge = camera.scale;
        const isInside = left > edge && top > edge && left < camera.width - 2 * edge && top < camera.height - 2 * edge;
        if (isInside && camera.scale >= MIN_TARGET.mouse) return;
        camera.center(seats.x[index] + 0.5, seats.y[index] + 0.5, Math.max(camera.scale, MIN_TARGET.finger));
        this.moved();
    }

    // --- Drawing ---

    redraw() {
        this.isStale = true;
        this.plan();
    }

    /** At most one drawing for each frame, whatever has changed in it. */
    plan() {
        if (!this.frame && this.isLoaded) this.frame = requestAnimationFrame((now) => this.draw(now));
    }

    /** @param {number} now */
    draw(now) {
        cancelAnimationFrame(this.frame);
        this.frame = 0;
        if (!this.camera.width) return;
        if (this.isStale) this.painter.draw();
        this.painter.drawChanged(this.isStale ? [] : this.changed, now);
        this.isStale = false;
        this.changed.clear();
        if (this.painter.flashes.size) this.plan();
    }

    /** @param {Seats} before */
    flashDifferences(before) {
        this.seats.rows.forEach(({id}, index) => {
            const earlier = before.indexes.get(id);
            if (earlier !== undefined && before.state[earlier] !== this.seats.state[index]) this.flash(index);
        });
    }

    /** @param {number} index */
    flash(index) {
        if (!this.calm.matches) this.painter.flashes.set(index, performance.now());
    }

    // --- Saying ---

    /** @param {number} index */
    nameOf(index) {
        const {texts, money} = this.words;
        const seat = this.seats.seat(index);
        const mark = this.chosen.marks[index];
        const state = mark & MINE ? texts.mine : mark & SELECTED ? texts.selected : texts[seat.status];
        return `${seat.label} · ${money(seat.price)} · ${state}`;
    }

    /** @param {string} text with the seat's label for `%s` @param {number} index */
    say(text, index) {
        this.announce(text.replace("%s", this.seats.rows[index].seat_label));
    }

    /** To screen readers: the latest only, and not more than one in a moment. @param {string} text @param {number} [after] ms */
    announce(text, after = ANNOUNCE_MS) {
        clearTimeout(this.announceTimer);
        this.announceTimer = setTimeout(() => {
            this.live.textContent = text;
        }, after);
    }

    /** @param {string} name @param {unknown} detail */
    tell(name, detail) {
        this.dispatchEvent(new CustomEvent(name, {detail, bubbles: true}));
    }
}

/** @param {string} name @param {string} className */
function element(name, className) {
    const made = document.createElement(name);
    made.className = className;
    return made;
}

customElements.define("seat-map", SeatMap);
