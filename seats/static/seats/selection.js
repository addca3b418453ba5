// What a buyer has selected, holds, and is offered: marks on seats. Whose a seat is, the snapshot and its changes say.

import {AVAILABLE, Seats} from "./seats.js";

export const SELECTED = 1;
export const MINE = 2;
export const OFFERED = 4;

/** @typedef {"selected" | "deselected" | "unavailable" | "limit"} Result of choosing a seat */

export class Selection {
    /** @param {(index: number) => void} marked called for each seat whose mark has changed */
    constructor(marked) {
        this.marked = marked;
        this.seats = new Seats({}, []);
        /** @type {Uint8Array} */
        this.marks = new Uint8Array(0);
        this.limit = Infinity;
        /** @type {Set<string>} the ids of what is held, known to the map or not */
        this.held = new Set();
    }

    /** Other seats: what was selected and what is held is marked in them, too. @param {Seats} seats */
    moveTo(seats) {
        const chosen = this.with(SELECTED).map((index) => this.seats.rows[index].id);
        this.seats = seats;
        this.marks = new Uint8Array(seats.size);
        for (const id of chosen) this.markId(id, SELECTED);
        for (const id of this.held) this.markId(id, MINE);
    }

    /** The seats with one of these marks. @param {number} marks */
    with(marks) {
        const found = [];
        for (let index = 0; index < this.marks.length; index++) if (this.marks[index] & marks) found.push(index);
        return found;
    }

    /** @param {number} index */
    isFree(index) {
        return this.seats.state[index] === AVAILABLE && !(this.marks[index] & MINE);
    }

    /** @param {number} index @returns {Result} */
    toggle(index) {
        if (this.marks[index] & SELECTED) {
            this.set(index, SELECTED, false);
            return "deselected";
        }
        if (!this.isFree(index)) return "unavailable";
        if (this.limit === 1) this.clear(SELECTED);
        if (this.with(SELECTED).length >= this.limit) return "limit";
        this.clear(OFFERED);
        this.set(index, SELECTED, true);
        return "selected";
    }

    /** Selects these instead of what was selected. @param {Iterable<string>} ids */
    replace(ids) {
        this.clear(SELECTED | OFFERED);
        for (const id of ids) {
            const index = this.seats.indexes.get(id) ?? -1;
            if (index >= 0 && this.isFree(index)) this.set(index, SELECTED, true);
        }
    }

    /** @param {Iterable<string>} ids */
    hold(ids) {
        this.held = new Set(ids);
        this.clear(MINE);
        for (const id of this.held) {
            const index = this.markId(id, MINE);
            if (index >= 0) this.set(index, SELECTED, false);
        }
    }

    /** A seat that is available is not held any more. @param {number} index */
    settle(index) {
        if (this.seats.state[index] !== AVAILABLE || !this.held.delete(this.seats.rows[index].id)) return;
        this.set(index, MINE, false);
    }

    /** What is selected, and is another buyer's. */
    lost() {
        return this.with(SELECTED).filter((index) => this.seats.state[index] !== AVAILABLE);
    }

    /** The seats with one of these labels or ids. @param {Set<string>} names */
    named(names) {
        return [...this.seats.rows.keys()].filter((index) => names.has(this.seats.rows[index].id) || names.has(this.seats.rows[index].seat_label));
    }

    /**
     * Takes lost seats out, and marks others that could be taken instead.
     *
     * @param {number[]} lost
     * @returns {number[][]} the groups that are offered
     */
    lose(lost) {
        for (const index of lost) {
            this.held.delete(this.seats.rows[index].id);
            this.set(index, SELECTED | MINE, false);
        }
        const gone = new Set(lost);
        const groups = this.seats.alternatives(lost[0], lost.length, (index) => !gone.has(index) && !(this.marks[index] & (SELECTED | MINE)));
        this.clear(OFFERED);
        for (const index of groups.flat()) this.set(index, OFFERED, true);
        return groups;
    }

    /** @param {string} id @param {number} mark @returns {number} */
    markId(id, mark) {
        const index = this.seats.indexes.get(id) ?? -1;
        if (index >= 0) this.set(index, mark, true);
        return index;
    }

    /** @param {number} index @param {number} mark @param {boolean} isOn */
    set(index, mark, isOn) {
        this.marks[index] = isOn ? this.marks[index] | mark : this.marks[index] & ~mark;
        this.marked(index);
    }

    /** @param {number} marks */
    clear(marks) {
        for (const index of this.with(marks)) this.set(index, marks, false);
    }
}
