// Draws the map on a canvas. Thousands of seats are drawn as copies of a few small pictures; a seat that changes is drawn alone.

import {Camera} from "./camera.js";
import {AVAILABLE, LOCKED, Seats, columnAt} from "./seats.js";
import {drawSprite, SPRITES} from "./sprites.js";

const SMALLEST_SEAT = 3.5; // CSS pixels; smaller ones are shown as their section
const MOST_SEATS = 6_000; // at once; more are shown as their sections
const ROW_NUMBERS_FROM = 9; // CSS pixels of a seat
const SEAT_NUMBERS_FROM = 24;
const FLASH_MS = 900;
export const SELECTED = 1;
export const MINE = 2;
export const OFFERED = 4;

/**
 * @typedef {object} Look
 * @property {string} background
 * @property {string} text
 * @property {string} stage
 * @property {string} available where colours tell states, not prices
 * @property {string} locked
 * @property {string} sold
 * @property {string} selected
 * @property {string} focus
 * @property {string[]} classes
 * @property {string} font
 */

/** @type {Look} */
const NO_LOOK = {
    background: "", text: "", stage: "", available: "", locked: "", sold: "", selected: "", focus: "", classes: [], font: "",
}; // prettier-ignore

export class Painter {
    /** @param {HTMLCanvasElement} canvas */
    constructor(canvas) {
        this.canvas = canvas;
        this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", {alpha: false}));
        this.sheet = document.createElement("canvas"); // a row of sprites for each price class
        this.sheetKey = "";
        this.spriteSize = 1; // device pixels
        this.cell = 1; // device pixels of a seat, not rounded
        this.ratio = 1;
        this.showsSeats = true;
        /** @type {Map<number, number>} since when a seat that has changed is lit */
        this.flashes = new Map();
        this.cursor = -1;
        this.seats = new Seats({}, []);
        this.camera = new Camera();
        /** @type {Uint8Array} */
        this.marks = new Uint8Array(0);
        /** @type {Look} */
        this.look = NO_LOOK;
        this.colourBy = "price";
        /** @type {Record<string, string>} */
        this.texts = {};
        this.format = new Intl.NumberFormat();
    }

    /**
     * @param {import("./seats.js").Seats} seats
     * @param {import("./camera.js").Camera} camera
     * @param {Uint8Array} marks
     * @param {Look} look
     */
    show(seats, camera, marks, look) {
        this.seats = seats;
        this.camera = camera;
        this.marks = marks;
        this.look = look;
        this.sheetKey = "";
    }

    fit() {
        const {width, height} = this.camera;
        this.ratio = Math.min(2, globalThis.devicePixelRatio || 1);
        this.canvas.width = Math.round(width * this.ratio);
        this.canvas.height = Math.round(height * this.ratio);
    }

    // --- Everything ---

    draw() {
        const {pen, look, camera, seats} = this;
        pen.setTransform(1, 0, 0, 1, 0, 0);
        pen.fillStyle = look.background;
        pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
        this.cell = camera.scale * this.ratio;
        this.drawStage();
        const shown = seats.sections.map((section) => this.visible(section));
        const count = shown.reduce((sum, part) => sum + (part ? (part.lastRow - part.firstRow + 1) * (part.lastColumn - part.firstColumn + 1) : 0), 0);
        this.showsSeats = camera.scale >= SMALLEST_SEAT && count <= MOST_SEATS;
        this.prepareSheet();
        seats.sections.forEach((section, index) => {
            const part = shown[index];
            if (!part) return;
            if (this.showsSeats) this.drawSection(section, part);
            else this.drawBlock(section);
        });
        this.drawCursor();
    }

    drawStage() {
        const {pen, look, seats} = this;
        pen.fillStyle = look.stage;
        const [x, y] = [this.px(seats.plan.middle - 10), this.py(1)];
        pen.beginPath();
        pen.roundRect(x, y, 20 * this.cell, 3 * this.cell, this.cell);
        pen.fill();
        pen.fillStyle = look.text;
        this.write(this.texts.stage ?? "STAGE", this.px(seats.plan.middle), this.py(2.5), Math.max(10 * this.ratio, 1.4 * this.cell), "center", 700);
    }

    /** @param {import("./seats.js").Section} section */
    visible(section) {
        const {camera} = this;
        const right = camera.x + camera.width / camera.scale;
        const bottom = camera.y + camera.height / camera.scale;
        if (section.x >= right || section.y >= bottom || section.x + section.width <= camera.x || section.y + section.rows <= camera.y) {
            return null;
        }
        const column = (/** @type {number} */ x) => Math.max(0, Math.min(section.seatsPerRow - 1, nearestColumn(section, x - section.x)));
        return {
            firstRow: Math.max(0, Math.floor(camera.y - section.y)),
            lastRow: Math.min(section.rows - 1, Math.floor(bottom - section.y)),
            firstColumn: column(camera.x),
            lastColumn: column(right),
        };
    }

    /**
     * @param {import("./seats.js").Section} section
     * @param {{firstRow: number, lastRow: number, firstColumn: number, lastColumn: number}} part
     */
    drawSection(section, part) {
        for (let row = part.firstRow; row <= part.lastRow; row++) {
            const start = row * section.seatsPerRow;
            for (let column = part.firstColumn; column <= part.lastColumn; column++) {
                const index = section.grid[start + column];
                if (index >= 0) this.copySprite(index);
            }
        }
        const {pen, look, ratio} = this;
        pen.fillStyle = look.text;
        const size = Math.max(11 * ratio, Math.min(18 * ratio, 1.3 * this.cell));
        this.write(section.name, this.px(section.x + section.width / 2), this.py(section.y) - size * 0.75, size, "center", 700);
        if (this.cell / ratio < ROW_NUMBERS_FROM) return;
        const digits = Math.min(12 * ratio, 0.7 * this.cell);
        const left = Math.max(this.px(section.x), 1.6 * digits); // beside the row, or at the edge of the picture
        for (let row = part.firstRow; row <= part.lastRow; row++) {
            const index = section.grid[row * section.seatsPerRow + part.firstColumn];
            const number = index >= 0 ? this.seats.rows[index].row_number : section.startRow + row;
            this.label(String(number), left - 0.2 * this.cell, this.py(section.y + row + 0.5), digits);
        }
        if (this.cell / ratio >= SEAT_NUMBERS_FROM) this.numberSeats(section, part);
    }

    /** A number on the background's colour, so that it can be read above seats. @param {string} text @param {number} x @param {number} y @param {number} size */
    label(text, x, y, size) {
        const {pen, look} = this;
        pen.fillStyle = look.background;
        const width = size * (0.62 * text.length + 0.4);
        pen.fillRect(x - width, y - 0.65 * size, width, 1.3 * size);
        pen.fillStyle = look.text;
        this.write(text, x - 0.2 * size, y, size, "right");
    }

    /**
     * @param {import("./seats.js").Section} section
     * @param {{firstRow: number, lastRow: number, firstColumn: number, lastColumn: number}} part
     */
    numberSeats(section, part) {
        for (let row = part.firstRow; row <= part.lastRow; row++) {
            for (let column = part.firstColumn; column <= part.lastColumn; column++) {
                const index = section.grid[row * section.seatsPerRow + column];
                if (index >= 0) this.numberSeat(index);
            }
        }
    }

    /** @param {number} index */
    numberSeat(index) {
        if (this.seats.state[index] !== AVAILABLE || this.marks[index] || this.colourBy === "state") return;
        this.pen.fillStyle = this.look.background;
        const [x, y] = [this.px(this.seats.x[index] + 0.5), this.py(this.seats.y[index] + 0.5)];
        this.write(String(this.seats.rows[index].seat_number), x, y, 0.3 * this.cell, "center", 600);
    }

    /** A section from afar: its name, and how much of it is available, as a bar and as a number. @param {import("./seats.js").Section} section */
    drawBlock(section) {
        const {pen, look, ratio, seats} = this;
        const [x, y] = [this.px(section.x), this.py(section.y)];
        const [width, height] = [section.width * this.cell, section.rows * this.cell];
        const radius = Math.min(6 * ratio, height / 4);
        pen.fillStyle = look.background;
        pen.fillRect(x - 1, y - 1, width + 2, height + 2);
        pen.beginPath();
        pen.roundRect(x, y, width, height, radius);
        pen.fillStyle = look.stage;
        pen.fill();
        pen.save();
        pen.clip();
        const first = section.grid.find((index) => index >= 0);
        pen.fillStyle = this.colourBy === "state" ? look.sold : look.classes[first === undefined ? 0 : seats.priceClass[first]];
        const share = section.seats ? section.available / section.seats : 0;
        const filled = this.colourBy === "state" ? 1 - share : share;
        const bar = Math.max(3 * ratio, Math.min(height * 0.22, 8 * ratio));
        pen.fillRect(x, y + height - bar, width * filled, bar);
        pen.restore();
        pen.fillStyle = look.text;
        const size = Math.max(9 * ratio, Math.min(15 * ratio, height / 3));
        const hasRoom = height > 3 * size;
        const middle = y + (height - bar) / 2;
        this.write(section.name, x + width / 2, hasRoom ? middle - 0.6 * size : middle, size, "center", 700);
        if (!hasRoom) return;
        const text = (this.texts.left ?? "%s").replace("%s", this.format.format(section.available));
        this.write(text, x + width / 2, middle + 0.6 * size, 0.85 * size, "center");
    }

    // --- One seat ---

    /** @param {number} index */
    drawSeat(index) {
        const {seats, camera} = this;
        const [x, y] = [seats.x[index], seats.y[index]];
        if (x + 1 < camera.x || y + 1 < camera.y || x > camera.x + camera.width / camera.scale || y > camera.y + camera.height / camera.scale) return;
        this.pen.fillStyle = this.look.background;
        const [left, top, size] = [Math.round(this.px(x)), Math.round(this.py(y)), Math.ceil(this.cell)];
        this.pen.fillRect(left, top, size, size);
        this.copySprite(index);
        if (camera.scale >= SEAT_NUMBERS_FROM) this.numberSeat(index);
    }

    /** @param {number} index */
    copySprite(index) {
        const x = Math.round(this.px(this.seats.x[index]));
        const y = Math.round(this.py(this.seats.y[index]));
        const size = this.spriteSize;
        const column = this.spriteOf(index);
        this.pen.drawImage(this.sheet, column * size, this.seats.priceClass[index] * size, size, size, x, y, size, size);
    }

    /** @param {number} index */
    spriteOf(index) {
        const mark = this.marks[index];
        if (mark & MINE) return SPRITES.mine;
        if (mark & SELECTED) return SPRITES.selected;
        const state = this.seats.state[index];
        if (state === AVAILABLE) return mark & OFFERED ? SPRITES.offered : SPRITES.available;
        return state === LOCKED ? SPRITES.locked : SPRITES.sold;
    }

    prepareSheet() {
        const size = Math.max(1, Math.floor(this.cell));
        const key = `${size} ${this.colourBy}`;
        this.spriteSize = size;
        if (key === this.sheetKey || !this.showsSeats) return;
        this.sheetKey = key;
        const names = Object.keys(SPRITES);
        this.sheet.width = names.length * size;
        this.sheet.height = this.look.classes.length * size;
        const pen = /** @type {CanvasRenderingContext2D} */ (this.sheet.getContext("2d"));
        this.look.classes.forEach((_colour, priceClass) => {
            names.forEach((name, column) => {
                pen.save();
                pen.translate(column * size, priceClass * size);
                drawSprite(pen, {name, size, priceClass, look: this.look, byState: this.colourBy === "state"});
                pen.restore();
            });
        });
    }

    // --- What moves ---

    /**
     * @param {Iterable<number>} changed seats
     * @param {number} now
     */
    drawChanged(changed, now) {
        if (!this.showsSeats) {
            const sections = new Set();
            for (const index of changed) sections.add(this.seats.sectionOf[index]);
            for (const section of sections) if (this.visible(this.seats.sections[section])) this.drawBlock(this.seats.sections[section]);
            this.flashes.clear();
            return;
        }
        for (const index of changed) this.drawSeat(index);
        for (const [index, since] of this.flashes) {
            const glow = 1 - (now - since) / FLASH_MS;
            this.drawSeat(index);
            if (glow > 0) this.light(index, glow);
            else this.flashes.delete(index);
        }
        this.drawCursor();
    }

    /** @param {number} index @param {number} glow 0 to 1 */
    light(index, glow) {
        const {pen, seats} = this;
        pen.globalAlpha = 0.6 * glow;
        pen.fillStyle = this.look.text;
        const size = this.spriteSize;
        pen.fillRect(Math.round(this.px(seats.x[index])), Math.round(this.py(seats.y[index])), size, size);
        pen.globalAlpha = 1;
    }

    drawCursor() {
        if (this.cursor < 0) return;
        const {pen, seats, ratio} = this;
        pen.strokeStyle = this.look.focus;
        pen.lineWidth = Math.max(2 * ratio, this.cell * 0.1);
        const size = Math.max(this.cell, 8 * ratio);
        pen.strokeRect(this.px(seats.x[this.cursor] + 0.5) - size / 2, this.py(seats.y[this.cursor] + 0.5) - size / 2, size, size);
    }

    // --- Places ---

    /** @param {number} x of the plan */
    px(x) {
        return (x - this.camera.x) * this.cell;
    }

    /** @param {number} y of the plan */
    py(y) {
        return (y - this.camera.y) * this.cell;
    }

    /**
     * @param {string} text
     * @param {number} x @param {number} y
     * @param {number} size
     * @param {CanvasTextAlign} align
     * @param {number} [weight]
     */
    write(text, x, y, size, align, weight = 400) {
        this.pen.font = `${weight} ${Math.round(size)}px ${this.look.font}`;
        this.pen.textAlign = align;
        this.pen.textBaseline = "middle";
        this.pen.fillText(text, x, y);
    }
}

/** @param {import("./seats.js").Section} section @param {number} x */
function nearestColumn(section, x) {
    const column = columnAt(section, x);
    return column >= 0 ? column : columnAt(section, x - 1);
}
