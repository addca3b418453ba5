// The seats of a map: where they are, what they cost and in which state they are. In arrays, since there may be 50,000 of them.

import {finder, planOf} from "./plan.js";

export const AVAILABLE = 0;
export const LOCKED = 1;
export const SOLD = 2;
const MAX_CLASSES = 6;
const MAX_ALTERNATIVES = 3;

/**
 * @typedef {object} Seat as the events of `<seat-map>` show it
 * @property {string} id
 * @property {string} section
 * @property {number} row
 * @property {number} number
 * @property {string} label
 * @property {number} price won
 * @property {"available" | "locked" | "sold"} status
 */

/** @typedef {import("./plan.js").Block & {grid: Int32Array, available: number, seats: number}} Section */

/** @param {string} status */
function stateOf(status) {
    return status === "available" ? AVAILABLE : status === "locked" ? LOCKED : SOLD; // messages for old clients say "reserved"
}

export class Seats {
    /**
     * @param {unknown} layout
     * @param {any[]} seats as `GET /seats/events/:id` has them
     */
    constructor(layout, seats) {
        this.plan = planOf(layout, seats);
        this.rows = seats;
        this.size = seats.length;
        this.state = new Uint8Array(this.size);
        this.priceClass = new Uint8Array(this.size);
        this.x = new Float32Array(this.size); // of the left side
        this.y = new Float32Array(this.size); // of the front
        this.sectionOf = new Uint16Array(this.size);
        this.counts = [0, 0, 0]; // by state
        /** @type {Map<string, number>} */
        this.indexes = new Map();
        /** @type {Section[]} */
        this.sections = this.plan.blocks.map((one) => ({
            ...one, grid: new Int32Array(one.rows * one.seatsPerRow).fill(-1), available: 0, seats: 0,
        })); // prettier-ignore
        this.prices = pricesOf(seats);
        this.place(seats);
    }

    /** @param {any[]} seats */
    place(seats) {
        const find = finder(this.sections);
        const numbers = new Map(this.sections.map((section, index) => [/** @type {any} */ (section), index]));
        const classes = classesOf(this.prices);
        for (let index = 0; index < seats.length; index++) {
            const seat = seats[index];
            this.indexes.set(seat.id, index);
            this.state[index] = stateOf(seat.status);
            this.priceClass[index] = classes.get(seat.price) ?? 0;
            this.counts[this.state[index]]++;
            const section = /** @type {Section | undefined} */ (find(seat));
            if (!section) continue;
            const row = section.indexOfRow(seat.row_number);
            const column = seat.seat_number - 1;
            section.grid[row * section.seatsPerRow + column] = index;
            section.seats++;
            if (this.state[index] === AVAILABLE) section.available++;
            this.x[index] = section.x + section.columns[column];
            this.y[index] = section.y + row;
            this.sectionOf[index] = /** @type {number} */ (numbers.get(section));
        }
    }

    /** @param {number} index @returns {Seat} */
    seat(index) {
        const {id, section, row_number: row, seat_number: number, seat_label: label, price} = this.rows[index];
        const status = /** @type {Seat["status"]} */ (["available", "locked", "sold"][this.state[index]]);
        return {id, section, row, number, label, price, status};
    }

    /**
     * @param {string} id
     * @param {string} status
     * @returns {number} its index; -1 if there is no such seat, or it was so before
     */
    change(id, status) {
        const index = this.indexes.get(id);
        const state = stateOf(status);
        if (index === undefined || this.state[index] === state) return -1;
        const section = this.sections[this.sectionOf[index]];
        if (this.state[index] === AVAILABLE) section.available--;
        if (state === AVAILABLE) section.available++;
        this.counts[this.state[index]]--;
        this.counts[state]++;
        this.state[index] = state;
        return index;
    }

    /** The seat at a place of the plan; -1 if there is none. @param {number} x @param {number} y */
    at(x, y) {
        for (const section of this.sections) {
            const row = Math.floor(y - section.y);
            if (row < 0 || row >= section.rows || x < section.x || x >= section.x + section.width) continue;
            const column = columnBefore(section, x - section.x);
            if (x - section.x < section.columns[column] + 1) return section.grid[row * section.seatsPerRow + column]; // no aisle
        }
        return -1;
    }

    /** The section at a place of the plan, its heading included. @param {number} x @param {number} y */
    sectionAt(x, y) {
        return this.sections.find((one) => x >= one.x - 1 && x < one.x + one.width + 1 && y >= one.y - 2 && y < one.y + one.rows);
    }

    /**
     * The next seat in a direction, for the keyboard.
     *
     * @param {number} from
     * @param {number} dx -1, 0 or 1
     * @param {number} dy
     */
    next(from, dx, dy) {
        let best = -1;
        let least = Infinity;
        for (let index = 0; index < this.size; index++) {
            const right = this.x[index] - this.x[from];
            const down = this.y[index] - this.y[from];
            const ahead = right * dx + down * dy;
            if (ahead < 0.5) continue;
            const aside = Math.abs(dx ? down : right);
            const distance = ahead + 3 * aside;
            if (distance < least) [least, best] = [distance, index];
        }
        return best;
    }

    /** The first available seat as seen from the stage, where the keyboard begins. */
    first() {
        let best = -1;
        let least = Infinity;
        for (let index = 0; index < this.size; index++) {
            const distance = this.y[index] * 2 + Math.abs(this.x[index] - this.plan.middle) + (this.state[index] === AVAILABLE ? 0 : 1e6);
            if (distance < least) [least, best] = [distance, index];
        }
        return best;
    }

    /**
     * Seats beside each other that are available, near one that is not any more: the nearest first, in the same section first.
     *
     * @param {number} near
     * @param {number} count how many together
     * @param {(index: number) => boolean} [mayTake]
     * @returns {number[][]} at most three groups without a seat in common
     */
    alternatives(near, count, mayTake = () => true) {
        /** @type {{seats: number[], distance: number}[]} */
        const found = [];
        const own = this.sections[this.sectionOf[near]];
        for (const section of [own, ...this.sections.filter((one) => one !== own)]) {
            const elsewhere = section === own ? 0 : 1_000;
            if (elsewhere && found.length >= MAX_ALTERNATIVES * count) break;
            for (const group of groupsIn(section, count, (index) => this.state[index] === AVAILABLE && mayTake(index))) {
                const middle = (this.x[group[0]] + this.x[group[count - 1]]) / 2;
                const rows = Math.abs(this.y[group[0]] - this.y[near]);
                const dearer = Math.max(0, this.rows[group[0]].price - this.rows[near].price) > 0 ? 500 : 0;
                found.push({seats: group, distance: elsewhere + dearer + Math.hypot(middle - this.x[near], 1.5 * rows)});
            }
        }
        found.sort((one, other) => one.distance - other.distance);
        const taken = new Set();
        const best = [];
        for (const {seats} of found) {
            if (seats.some((index) => taken.has(index))) continue;
            seats.forEach((index) => taken.add(index));
            best.push(seats);
            if (best.length === MAX_ALTERNATIVES) break;
        }
        return best;
    }
}

/**
 * @param {{columns: number[]}} section
 * @param {number} x from its left side
 * @returns {number} the last column that begins there or before; the first one, if none does
 */
export function columnBefore({columns}, x) {
    let low = 0;
    let high = columns.length - 1;
    while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (columns[middle] <= x) low = middle;
        else high = middle - 1;
    }
    return low;
}

/**
 * Groups of neighbours: consecutive in one row, with no aisle between.
 *
 * @param {Section} section
 * @param {number} count
 * @param {(index: number) => boolean} isFree
 */
function* groupsIn({rows, seatsPerRow, grid, columns}, count, isFree) {
    for (let row = 0; row < rows; row++) {
        let run = [];
        for (let column = 0; column < seatsPerRow; column++) {
            const index = grid[row * seatsPerRow + column];
            if (column && columns[column] - columns[column - 1] > 1) run = [];
            if (index < 0 || !isFree(index)) {
                run = [];
                continue;
            }
            run.push(index);
            if (run.length >= count) yield run.slice(-count);
        }
    }
}

/** @param {any[]} seats @returns {number[]} the dearest first */
function pricesOf(seats) {
    const prices = new Set();
    for (const {price} of seats) prices.add(price);
    return [...prices].sort((one, other) => other - one);
}

/** @param {number[]} prices @returns {Map<number, number>} the class of each: 0 for the dearest */
export function classesOf(prices) {
    const share = Math.max(1, prices.length / MAX_CLASSES);
    return new Map(prices.map((price, index) => [price, Math.floor(index / share)]));
}
