// Draws the map on a canvas. Thousands of seats are copies of a few small pictures, pixel row by pixel row: that takes a fifth of
// the time of `drawImage`, with and without a GPU. A seat that changes is copied alone.

import {Camera} from "./camera.js";
import {AVAILABLE, LOCKED, Seats, columnBefore} from "./seats.js";
import {MINE, OFFERED, SELECTED} from "./selection.js";
import {drawSprite, SPRITES} from "./sprites.js";

const MIN_SEAT_SIZE = 3.5; // CSS pixels; smaller ones are shown as their section
const MAX_SEATS = 6_000; // at once; more are shown as their sections
const ROW_NUMBERS_FROM = 9; // CSS pixels of a seat
const SEAT_NUMBERS_FROM = 24;
const FLASH_MS = 900;

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

/** @typedef {{firstRow: number, lastRow: number, firstColumn: number, lastColumn: number}} Part of a section, that is in view */

/** @type {Look} */
const NO_LOOK = {
    background: "", text: "", stage: "", available: "", locked: "", sold: "", selected: "", focus: "", classes: [], font: "",
}; // prettier-ignore

export class Painter {
    /** @param {HTMLCanvasElement} canvas */
    constructor(canvas) {
        this.canvas = canvas;
        this.pen = penOf(canvas);
        this.sheet = penOf(document.createElement("canvas")); // a row of sprites for each price class
        this.sprites = new ImageData(1, 1); // the same, as pixels
        this.spritePixels = new Uint32Array(1);
        this.picture = new ImageData(1, 1);
        this.pixels = new Uint32Array(1);
        this.sheetKey = "";
        this.spriteSize = 1; // device pixels
        this.cell = 1; // device pixels of a seat, not rounded
        this.font = ""; // of the pen
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
        this.font = ""; // as everything of a pen whose canvas has another size
        this.picture = new ImageData(this.canvas.width, this.canvas.height);
        this.pixels = new Uint32Array(this.picture.data.buffer);
    }

    // --- Everything ---

    draw() {
        const {camera, seats} = this;
        this.cell = camera.scale * this.ratio;
        const shown = seats.sections.map((section) => this.visible(section));
        const count = shown.reduce((sum, part) => sum + (part ? (part.lastRow - part.firstRow + 1) * (part.lastColumn - part.firstColumn + 1) : 0), 0);
        this.showsSeats = camera.scale >= MIN_SEAT_SIZE && count <= MAX_SEATS;
        this.prepareSheet();
        this.pixels.fill(this.spritePixels[this.spritePixels.length - 1]);
        if (this.showsSeats) seats.sections.forEach((section, number) => this.copySeats(section, shown[number]));
        this.pen.putImageData(this.picture, 0, 0);
        this.drawStage();
        seats.sections.forEach((section, number) => {
            const part = shown[number];
            if (part && this.showsSeats) this.describeSection(section, part);
            else if (part) this.drawBlock(section);
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

    /** @param {import("./seats.js").Section} section @returns {Part | null} */
    visible(section) {
        const {camera} = this;
        const right = camera.x + camera.width / camera.scale;
        const bottom = camera.y + camera.height / camera.scale;
        if (section.x >= right || section.y >= bottom || section.x + section.width <= camera.x || section.y + section.rows <= camera.y) {
            return null;
        }
        return {
            firstRow: Math.max(0, Math.floor(camera.y - section.y)),
            lastRow: Math.min(section.rows - 1, Math.floor(bottom - section.y)),
            firstColumn: columnBefore(section, camera.x - section.x),
            lastColumn: columnBefore(section, right - section.x),
        };
    }

    /**
     * Into the picture, which is not shown yet.
     *
     * @param {import("./seats.js").Section} section
     * @param {Part | null} part
     */
    copySeats(section, part) {
        if (!part) return;
        for (let row = part.firstRow; row <= part.lastRow; row++) {
            const start = row * section.seatsPerRow;
            for (let column = part.firstColumn; column <= part.lastColumn; column++) {
                const index = section.grid[start + column];
                if (index >= 0) this.copySeat(index);
            }
        }
    }

    /** @param {number} index */
    copySeat(index) {
        const {pixels, spritePixels, spriteSize: size} = this;
        const [width, height] = [this.picture.width, this.picture.height];
        const left = Math.round(this.px(this.seats.x[index]));
        const top = Math.round(this.py(this.seats.y[index]));
        const [from, to] = [Math.max(0, -left), Math.min(size, width - left)];
        if (from >= to) return;
        const source = this.spriteOf(index) * size;
        const line = this.seats.priceClass[index] * size;
        for (let y = Math.max(0, -top); y < size && top + y < height; y++) {
            const at = (line + y) * this.sprites.width + source;
            const target = (top + y) * width + left;
            for (let x = from; x < to; x++) pixels[target + x] = spritePixels[at + x];
        }
    }

    /**
     * What stands above and beside its seats.
     *
     * @param {import("./seats.js").Section} section
     * @param {Part} part
     */
    describeSection(section, part) {
        const {pen, look, ratio, cell} = this;
        pen.fillStyle = look.text;
        const size = Math.min(18 * ratio, Math.max(1.3 * cell, Math.min(11 * ratio, 2.4 * cell))); // within the space above
        this.write(section.name, this.px(section.x + section.width / 2), this.py(section.y - 1.5), size, "center", 700);
        if (cell / ratio >= SEAT_NUMBERS_FROM) this.numberSeats(section, part);
        this.numberRows(section, part);
    }

    /** @param {import("./seats.js").Section} section @param {Part} part */
    numberRows(section, part) {
        if (this.cell / this.ratio < ROW_NUMBERS_FROM) return;
        const size = Math.min(12 * this.ratio, 0.7 * this.cell);
        for (let row = part.firstRow; row <= part.lastRow; row++) {
            const index = section.grid[row * section.seatsPerRow + part.firstColumn];
            const number = index >= 0 ? this.seats.rows[index].row_number : section.startRow + row;
            this.label(String(number), this.px(section.x) - 0.2 * this.cell, this.py(section.y + row + 0.5), size);
        }
    }

    /**
     * A row's number: beside the row, or at the edge of the picture, above seats.
     *
     * @param {string} text @param {number} right
     * @param {number} y @param {number} size
     */
    label(text, right, y, size) {
        const {pen, look} = this;
        const width = Math.ceil(size * (0.62 * text.length + 0.4));
        const x = Math.max(Math.round(right), width);
        pen.fillStyle = look.background;
        pen.fillRect(x - width, Math.round(y - 0.65 * size), width, Math.round(1.3 * size)); // whole pixels: drawn again it is the same
        pen.fillStyle = look.text;
        this.write(text, x - 0.2 * size, y, size, "right");
    }

    /** @param {import("./seats.js").Section} section @param {Part} part */
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
        const {seats, camera, spriteSize: size} = this;
        const [x, y] = [seats.x[index], seats.y[index]];
        if (x + 1 < camera.x || y + 1 < camera.y || x > camera.x + camera.width / camera.scale || y > camera.y + camera.height / camera.scale) return;
        const [left, top] = [this.spriteOf(index) * size, seats.priceClass[index] * size];
        this.pen.putImageData(this.sprites, Math.round(this.px(x)) - left, Math.round(this.py(y)) - top, left, top, size, size);
        if (camera.scale >= SEAT_NUMBERS_FROM) this.numberSeat(index);
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
        if (key === this.sheetKey) return;
        this.sheetKey = key;
        const names = Object.keys(SPRITES);
        const pen = this.sheet;
        pen.canvas.width = names.length * size;
        pen.canvas.height = this.look.classes.length * size + 1; // and a line of background
        pen.fillStyle = this.look.background;
        pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
        this.look.classes.forEach((_colour, priceClass) => {
            names.forEach((name, column) => {
                pen.save();
                pen.translate(column * size, priceClass * size);
                drawSprite(pen, {name, size, priceClass, look: this.look, byState: this.colourBy === "state"});
                pen.restore();
            });
        });
        this.sprites = pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height);
        this.spritePixels = new Uint32Array(this.sprites.data.buffer);
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
        for (const section of this.seats.sections) {
            const part = this.px(section.x) < 4 * this.cell ? this.visible(section) : null; // its numbers are above seats
            if (part) this.numberRows(section, part);
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
        const font = `${weight} ${Math.round(size)}px ${this.look.font}`;
        if (font !== this.font) this.pen.font = this.font = font; // a canvas reads it anew each time
        this.pen.textAlign = align;
        this.pen.textBaseline = "middle";
        this.pen.fillText(text, x, y);
    }
}

/** A pen whose pixels are in memory: they are written and read more often than lines are drawn. @param {HTMLCanvasElement} canvas */
function penOf(canvas) {
    return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", {alpha: false, willReadFrequently: true}));
}
