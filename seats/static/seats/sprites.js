// The picture of one seat. A price class has a colour and a shape of its own, a state has a pattern of its own, so that
// nothing is told by colour alone.

/** Their columns in the sheet. */
export const SPRITES = {available: 0, locked: 1, sold: 2, selected: 3, mine: 4, offered: 5};
const SIMPLE_BELOW = 6; // device pixels; no shape can be told

/**
 * @param {CanvasRenderingContext2D} pen at the top left of the seat
 * @param {{name: string, size: number, priceClass: number, look: import("./painter.js").Look, byState: boolean}} what
 */
export function drawSprite(pen, {name, size, priceClass, look, byState}) {
    const colour = byState ? look.available : look.classes[priceClass];
    if (size < SIMPLE_BELOW) return drawDot(pen, {name, size, look, colour, byState});
    const shape = () => outline(pen, byState ? 0 : priceClass, size);
    pen.lineWidth = Math.max(1, size * 0.09);
    if (name === "available") {
        pen.fillStyle = colour;
        shape();
        pen.fill();
    } else if (name === "locked") {
        pen.strokeStyle = byState ? look.locked : colour;
        pen.fillStyle = look.locked;
        shape();
        pen.stroke();
        pen.clip();
        stripes(pen, size);
    } else if (name === "sold") {
        drawSold(pen, {size, look, byState});
    } else if (name === "offered") {
        pen.fillStyle = colour;
        shape();
        pen.fill();
        pen.strokeStyle = look.focus;
        pen.lineWidth = Math.max(1.5, size * 0.12);
        pen.strokeRect(pen.lineWidth / 2, pen.lineWidth / 2, size - pen.lineWidth, size - pen.lineWidth);
    } else {
        drawChosen(pen, {size, look, isMine: name === "mine"});
    }
}

/** @param {CanvasRenderingContext2D} pen @param {{name: string, size: number, look: import("./painter.js").Look, colour: string, byState: boolean}} what */
function drawDot(pen, {name, size, look, colour, byState}) {
    const isChosen = name === "selected" || name === "mine";
    pen.fillStyle = isChosen ? look.selected : name === "locked" ? look.locked : name === "sold" ? look.sold : colour;
    const isFull = isChosen || name === "available" || name === "offered" || byState;
    const inset = isFull ? Math.min(0.5, size * 0.1) : size * 0.3; // what cannot be had is smaller
    pen.fillRect(inset, inset, size - 2 * inset, size - 2 * inset);
}

/** A small cross; where states have colours, a full square. @param {CanvasRenderingContext2D} pen @param {{size: number, look: import("./painter.js").Look, byState: boolean}} what */
function drawSold(pen, {size, look, byState}) {
    pen.fillStyle = pen.strokeStyle = look.sold;
    if (byState) {
        outline(pen, 0, size);
        return pen.fill();
    }
    const [near, far] = [size * 0.34, size * 0.66];
    pen.beginPath();
    pen.moveTo(near, near);
    pen.lineTo(far, far);
    pen.moveTo(far, near);
    pen.lineTo(near, far);
    pen.stroke();
}

/** A tick on a full square; a double frame if it is held already. @param {CanvasRenderingContext2D} pen @param {{size: number, look: import("./painter.js").Look, isMine: boolean}} what */
function drawChosen(pen, {size, look, isMine}) {
    pen.fillStyle = look.selected;
    pen.beginPath();
    pen.roundRect(0.5, 0.5, size - 1, size - 1, size * 0.2);
    pen.fill();
    pen.strokeStyle = look.background;
    if (isMine) {
        pen.beginPath();
        pen.roundRect(size * 0.14, size * 0.14, size * 0.72, size * 0.72, size * 0.12);
        pen.stroke();
    }
    pen.lineWidth = Math.max(1.2, size * 0.12);
    pen.beginPath();
    pen.moveTo(size * 0.29, size * 0.52);
    pen.lineTo(size * 0.44, size * 0.67);
    pen.lineTo(size * 0.72, size * 0.35);
    pen.stroke();
}

/** @param {CanvasRenderingContext2D} pen @param {number} size */
function stripes(pen, size) {
    const step = size / 3;
    pen.beginPath();
    for (let x = -size; x < size; x += step) {
        pen.moveTo(x, size);
        pen.lineTo(x + step / 2, size);
        pen.lineTo(x + step / 2 + size, 0);
        pen.lineTo(x + size, 0);
    }
    pen.fill();
}

/** @param {CanvasRenderingContext2D} pen @param {number} priceClass @param {number} size */
function outline(pen, priceClass, size) {
    const [low, high, middle] = [size * 0.12, size * 0.88, size / 2];
    pen.beginPath();
    switch (priceClass % 6) {
        case 0:
            return pen.roundRect(low, low, high - low, high - low, size * 0.18);
        case 1:
            return pen.arc(middle, middle, middle - low, 0, 2 * Math.PI);
        case 2:
            return polygon(pen, [[middle, size * 0.04], [size * 0.96, middle], [middle, size * 0.96], [size * 0.04, middle]]);
        case 3:
            return polygon(pen, [[middle, low], [high, high], [low, high]]);
        case 4:
            return polygon(pen, [[low, low], [high, low], [middle, high]]);
        default:
            return polygon(pen, [[middle, low], [high, size * 0.42], [size * 0.74, high], [size * 0.26, high], [low, size * 0.42]]);
    }
} // prettier-ignore

/** @param {CanvasRenderingContext2D} pen @param {number[][]} points */
function polygon(pen, points) {
    pen.moveTo(points[0][0], points[0][1]);
    for (const [x, y] of points.slice(1)) pen.lineTo(x, y);
    pen.closePath();
}
