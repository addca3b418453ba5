// What colours, shapes and patterns mean.

import {drawSprite} from "./sprites.js";

const SIZE = 22; // CSS pixels

/** The colours of seat-map.css, as they are now: light or dark. @param {HTMLElement} map @returns {import("./painter.js").Look} */
export function lookOf(map) {
    const style = getComputedStyle(map);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--seat-map-${name}`).trim() || "#888";
    return {
        background: colour("background"),
        text: colour("text"),
        stage: colour("stage"),
        available: colour("available"),
        locked: colour("locked"),
        sold: colour("sold"),
        selected: colour("selected"),
        focus: colour("focus"),
        classes: [1, 2, 3, 4, 5, 6].map((number) => colour(`class-${number}`)),
        font: style.fontFamily || "sans-serif",
    };
}

/**
 * @param {HTMLElement} list
 * @param {{seats: import("./seats.js").Seats, look: import("./painter.js").Look, words: {texts: Record<string, string>, money: (won: number) => string}, byState: boolean}} what
 */
export function legendOf(list, {seats, look, words, byState}) {
    const {texts, money} = words;
    const prices = byState ? [["available", 0, texts.available]] : pricesOf(seats).map(([priceClass, price]) => ["available", priceClass, money(price)]);
    const states = byState ? ["locked", "sold"] : ["locked", "sold", "selected", "mine", "offered"];
    const entries = [...prices, ...states.map((name) => [name, 0, texts[name]])];
    list.replaceChildren(
        ...entries.map(([name, priceClass, text]) => {
            const item = document.createElement("li");
            item.append(swatch({name: String(name), priceClass: Number(priceClass), look, byState}), String(text));
            return item;
        }),
    );
}

/** The dearest price of each class. @param {import("./seats.js").Seats} seats @returns {[number, number][]} */
function pricesOf(seats) {
    /** @type {Map<number, number>} */
    const dearest = new Map();
    seats.rows.forEach(({price}, index) => {
        const priceClass = seats.priceClass[index];
        dearest.set(priceClass, Math.max(price, dearest.get(priceClass) ?? 0));
    });
    return [...dearest].sort(([one], [other]) => one - other);
}

/** @param {{name: string, priceClass: number, look: import("./painter.js").Look, byState: boolean}} what */
function swatch({name, priceClass, look, byState}) {
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    canvas.width = canvas.height = SIZE * ratio;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", {willReadFrequently: true}));
    drawSprite(pen, {name, size: SIZE * ratio, priceClass, look, byState});
    return canvas;
}
