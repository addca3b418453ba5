// Pointer, wheel and keys, as what they mean: pan, zoom, tap, hover, move.

const TAP_DISTANCE = 8; // CSS pixels a finger may slip
const KEY_ZOOM = 1.5;

/**
 * @typedef {object} Gestures
 * @property {(dx: number, dy: number) => void} pan
 * @property {(factor: number, x?: number, y?: number) => void} zoom
 * @property {(x: number, y: number, isFinger: boolean) => void} tap
 * @property {(x: number, y: number) => void} hover by mouse, without a button
 * @property {() => void} leave
 * @property {(dx: number, dy: number) => void} move the keyboard's cursor
 * @property {() => void} choose what the cursor is on
 * @property {() => void} fit
 * @property {() => boolean} cancel whether there was something to cancel
 * @property {() => boolean} isFitted
 */

/**
 * @param {HTMLElement} surface what gets the keyboard's focus
 * @param {HTMLElement} picture
 * @param {Gestures} to
 */
export function listen(surface, picture, to) {
    listenToPointers(picture, to);
    picture.addEventListener("wheel", (event) => turnWheel(event, to), {passive: false});
    picture.addEventListener("dblclick", (event) => to.zoom(2, event.offsetX, event.offsetY));
    surface.addEventListener("keydown", (event) => pressKey(event, to));
}

/** @param {HTMLElement} picture @param {Gestures} to */
function listenToPointers(picture, to) {
    /** @type {Map<number, {x: number, y: number}>} */
    const pointers = new Map();
    let start = {x: 0, y: 0};
    let slipped = 0; // how far from there
    let wasPinch = false;
    picture.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        if (!pointers.size) [start, slipped, wasPinch] = [place(event, picture), 0, false];
        pointers.set(event.pointerId, place(event, picture));
        wasPinch ||= pointers.size > 1;
        picture.setPointerCapture?.(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
        const before = pointers.get(event.pointerId);
        const now = place(event, picture);
        if (!before) {
            if (event.pointerType === "mouse") to.hover(now.x, now.y);
            return;
        }
        slipped = Math.max(slipped, Math.hypot(now.x - start.x, now.y - start.y));
        const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
        pointers.set(event.pointerId, now);
        if (other) pinch(before, now, other, to);
        else if (slipped > TAP_DISTANCE) to.pan(now.x - before.x, now.y - before.y);
    });
    picture.addEventListener("pointerup", (event) => {
        const at = pointers.get(event.pointerId);
        pointers.delete(event.pointerId);
        if (at && !wasPinch && slipped <= TAP_DISTANCE) to.tap(at.x, at.y, event.pointerType !== "mouse");
    });
    picture.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
    picture.addEventListener("pointerleave", () => to.leave());
}

/**
 * @param {{x: number, y: number}} before
 * @param {{x: number, y: number}} now
 * @param {{x: number, y: number}} other
 * @param {Gestures} to
 */
function pinch(before, now, other, to) {
    const factor = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    to.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    to.zoom(factor, (now.x + other.x) / 2, (now.y + other.y) / 2);
}

/** @param {PointerEvent} event @param {HTMLElement} picture */
function place(event, picture) {
    const box = picture.getBoundingClientRect();
    return {x: event.clientX - box.left, y: event.clientY - box.top};
}

/** @param {WheelEvent} event @param {Gestures} to */
function turnWheel(event, to) {
    if (event.deltaY > 0 && to.isFitted()) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    to.zoom(Math.exp(-Math.max(-120, Math.min(120, pixels)) * (event.ctrlKey ? 0.01 : 0.002)), event.offsetX, event.offsetY);
}

/** @type {Record<string, (to: Gestures) => unknown>} */
const KEYS = {
    ArrowLeft: (to) => to.move(-1, 0),
    ArrowRight: (to) => to.move(1, 0),
    ArrowUp: (to) => to.move(0, -1),
    ArrowDown: (to) => to.move(0, 1),
    Enter: (to) => to.choose(),
    " ": (to) => to.choose(),
    "+": (to) => to.zoom(KEY_ZOOM),
    "=": (to) => to.zoom(KEY_ZOOM),
    "-": (to) => to.zoom(1 / KEY_ZOOM),
    0: (to) => to.fit(),
    Home: (to) => to.fit(),
};

/** @param {KeyboardEvent} event @param {Gestures} to */
function pressKey(event, to) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
        if (to.cancel()) event.preventDefault();
        return;
    }
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(to);
}
