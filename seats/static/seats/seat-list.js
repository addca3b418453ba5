// The same seats as a list: section, row, seats. For keyboards and screen readers, and for whoever prefers it.

import {AVAILABLE, Seats} from "./seats.js";
import {MINE, SELECTED} from "./selection.js";

/**
 * @typedef {object} Row
 * @property {number} number
 * @property {number[]} seats
 */

/** @type {Record<string, number>} */
const STEPS = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity};

export class SeatList {
    /**
     * @param {HTMLElement} parent
     * @param {{toggle: (index: number) => void, show: (index: number) => void}} to
     */
    constructor(parent, to) {
        this.to = to;
        this.section = select();
        this.row = select();
        this.buttons = document.createElement("ul");
        this.buttons.className = "seat-map-seats";
        /** @type {Map<number, HTMLButtonElement>} */
        this.byIndex = new Map();
        /** @type {Map<string, Row[]>} */
        this.sections = new Map();
        this.seats = new Seats({}, []);
        /** @type {Uint8Array} */
        this.marks = new Uint8Array(0);
        /** @type {Record<string, string>} */
        this.texts = {};
        /** @type {(won: number) => string} */
        this.money = String;
        this.heading = document.createElement("p");
        this.heading.className = "seat-map-heading";
        const fields = document.createElement("div");
        fields.className = "seat-map-fields";
        fields.append(this.section.label, this.row.label);
        parent.append(this.heading, fields, this.buttons);
        this.section.field.addEventListener("change", () => this.showRows());
        this.row.field.addEventListener("change", () => this.showSeats());
        for (const {field} of [this.section, this.row]) field.addEventListener("focus", () => this.recount());
        this.buttons.addEventListener("keydown", (event) => this.moveFocus(event));
        this.buttons.addEventListener("click", (event) => {
            const button = /** @type {HTMLElement} */ (event.target).closest("button");
            if (button) to.toggle(Number(button.dataset.index));
        });
        this.buttons.addEventListener("focusin", (event) => {
            const button = /** @type {HTMLElement} */ (event.target).closest("button");
            if (button) to.show(Number(button.dataset.index));
        });
    }

    /**
     * @param {import("./seats.js").Seats} seats
     * @param {Uint8Array} marks
     * @param {{texts: Record<string, string>, money: (won: number) => string}} words
     */
    load(seats, marks, words) {
        const isAsBefore = words.texts === this.texts && isSame(seats, this.seats);
        this.seats = seats;
        this.marks = marks;
        this.texts = words.texts;
        this.money = words.money;
        if (isAsBefore) return this.byIndex.forEach((_button, index) => this.refresh(index)); // the focus stays where it is
        this.heading.textContent = this.texts.list;
        this.heading.parentElement?.setAttribute("aria-label", this.texts.list);
        this.section.name.textContent = this.texts.section;
        this.row.name.textContent = this.texts.row;
        this.buttons.setAttribute("aria-label", this.texts.seats);
        this.group();
        fill(this.section.field, [...this.sections].map(([name, rows]) => [name, this.describe(name, rows)])); // prettier-ignore
        this.showRows();
    }

    /** Sections as they stand in the hall, with their rows. */
    group() {
        /** @type {Map<string, Map<number, Row>>} */
        const found = new Map(this.seats.sections.map(({name}) => [name, new Map()]));
        for (let index = 0; index < this.seats.size; index++) {
            const {section, row_number: number} = this.seats.rows[index];
            const rows = found.get(section) ?? new Map();
            const row = rows.get(number) ?? {number, seats: []};
            row.seats.push(index);
            found.set(section, rows.set(number, row));
        }
        this.sections = new Map([...found].filter(([, rows]) => rows.size).map(([name, rows]) => [name, [...rows.values()]]));
    }

    /** What the lists say is available, when somebody looks. */
    recount() {
        const rows = this.sections.get(this.section.field.value) ?? [];
        for (const option of this.section.field.options) option.textContent = this.describe(option.value, this.sections.get(option.value) ?? []);
        [...this.row.field.options].forEach((option, place) => (option.textContent = this.describeRow(rows[place])));
    }

    /** A section with its prices and what is available. @param {string} name @param {Row[]} rows */
    describe(name, rows) {
        const {seats} = this;
        let [available, least, most] = [0, Infinity, 0];
        for (const row of rows) {
            for (const index of row.seats) {
                const {price} = seats.rows[index];
                if (seats.state[index] === AVAILABLE) available++;
                least = Math.min(least, price);
                most = Math.max(most, price);
            }
        }
        const price = least === most ? this.money(least) : `${this.money(least)}–${this.money(most)}`;
        return `${name} · ${price} · ${this.texts.left.replace("%s", String(available))}`;
    }

    showRows() {
        const rows = this.sections.get(this.section.field.value) ?? [];
        fill(this.row.field, rows.map((row) => [String(row.number), this.describeRow(row)])); // prettier-ignore
        this.showSeats();
    }

    /** @param {Row} row */
    describeRow(row) {
        const available = row.seats.filter((index) => this.seats.state[index] === AVAILABLE).length;
        return `${this.texts.rowNumber.replace("%s", String(row.number))} · ${this.texts.left.replace("%s", String(available))}`;
    }

    showSeats() {
        const rows = this.sections.get(this.section.field.value) ?? [];
        const row = rows.find((one) => String(one.number) === this.row.field.value);
        this.byIndex = new Map();
        const items = (row?.seats ?? []).map((index) => {
            const button = document.createElement("button");
            button.type = "button";
            button.dataset.index = String(index);
            this.byIndex.set(index, button);
            this.refresh(index);
            const item = document.createElement("li");
            item.append(button);
            return item;
        });
        this.buttons.replaceChildren(...items);
        this.makeReachable([...this.byIndex.values()][0]);
    }

    /** Shows the row of a seat. @param {number} index */
    reveal(index) {
        const {section, row_number: row} = this.seats.rows[index];
        if (this.section.field.value !== section) {
            this.section.field.value = section;
            this.showRows();
        }
        if (this.row.field.value !== String(row)) {
            this.row.field.value = String(row);
            this.showSeats();
        }
    }

    /** After the seat has changed. Only what is shown is touched, and nothing is said. @param {number} index */
    refresh(index) {
        const button = this.byIndex.get(index);
        if (!button) return;
        const {seats, marks, texts} = this;
        const seat = seats.seat(index);
        const isChosen = (marks[index] & (SELECTED | MINE)) !== 0;
        const state = marks[index] & MINE ? "mine" : isChosen ? "selected" : seat.status;
        button.textContent = String(seat.number);
        button.className = `seat-map-seat is-${state}`;
        const name = `${texts.seatName.replace("%s", seat.section).replace("%s", String(seat.row)).replace("%s", String(seat.number))}`;
        button.setAttribute("aria-label", `${name}, ${this.money(seat.price)}, ${texts[state]}`);
        button.setAttribute("aria-pressed", String(isChosen));
        button.setAttribute("aria-disabled", String(!isChosen && seat.status !== "available"));
    }

    /** The one seat of the row that Tab reaches; arrow keys reach the others. @param {HTMLButtonElement | undefined} button */
    makeReachable(button) {
        for (const one of this.byIndex.values()) one.tabIndex = one === button ? 0 : -1;
    }

    /** @param {KeyboardEvent} event */
    moveFocus(event) {
        const step = STEPS[event.key];
        const buttons = [...this.byIndex.values()];
        const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
        if (step === undefined || at < 0) return;
        event.preventDefault();
        const button = buttons[Math.max(0, Math.min(buttons.length - 1, at + step))];
        this.makeReachable(button);
        button.focus();
    }
}

/** @param {import("./seats.js").Seats} seats @param {import("./seats.js").Seats} others */
function isSame({rows}, {rows: others}) {
    return rows.length === others.length && rows.every(({id}, index) => id === others[index].id);
}

function select() {
    const label = document.createElement("label");
    const name = document.createElement("span");
    const field = document.createElement("select");
    label.append(name, field);
    return {label, name, field};
}

/** Keeps what was chosen, if it is still there. @param {HTMLSelectElement} field @param {string[][]} entries */
function fill(field, entries) {
    const chosen = field.value;
    field.replaceChildren(
        ...entries.map(([value, text]) => {
            const option = document.createElement("option");
            option.value = value;
            option.textContent = text;
            return option;
        }),
    );
    if (entries.some(([value]) => value === chosen)) field.value = chosen;
}
