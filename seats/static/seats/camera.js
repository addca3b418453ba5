// What part of the plan is shown: `scale` pixels for a seat, and the place of the plan that is at the top left.

const MAX_SEAT_SIZE = 48; // CSS pixels

export class Camera {
    constructor() {
        this.width = 0; // of the picture, in CSS pixels
        this.height = 0;
        this.planWidth = 1;
        this.planHeight = 1;
        this.scale = 1;
        this.x = 0;
        this.y = 0;
    }

    /** The scale that shows everything. */
    get fitting() {
        return Math.min(this.width / this.planWidth, this.height / this.planHeight, MAX_SEAT_SIZE / 2);
    }

    get isFitted() {
        return this.scale <= this.fitting * 1.001;
    }

    fit() {
        this.scale = this.fitting;
        this.keepInside();
    }

    /** @param {number} width @param {number} height */
    resize(width, height) {
        const wasFitted = !this.width || this.isFitted;
        const middle = this.toPlan(this.width / 2, this.height / 2);
        Object.assign(this, {width, height});
        if (wasFitted) this.fit();
        else this.center(middle.x, middle.y, this.scale);
    }

    /** @param {number} x of the picture @param {number} y */
    toPlan(x, y) {
        return {x: this.x + x / this.scale, y: this.y + y / this.scale};
    }

    /** @param {number} dx in pixels @param {number} dy */
    pan(dx, dy) {
        this.x -= dx / this.scale;
        this.y -= dy / this.scale;
        this.keepInside();
    }

    /** Zooms around a point of the picture. @param {number} factor @param {number} x @param {number} y */
    zoom(factor, x = this.width / 2, y = this.height / 2) {
        const point = this.toPlan(x, y);
        this.scale = this.bounded(this.scale * factor);
        this.x = point.x - x / this.scale;
        this.y = point.y - y / this.scale;
        this.keepInside();
    }

    /** @param {number} x of the plan @param {number} y @param {number} scale */
    center(x, y, scale) {
        this.scale = this.bounded(scale);
        this.x = x - this.width / this.scale / 2;
        this.y = y - this.height / this.scale / 2;
        this.keepInside();
    }

    /** @param {number} scale */
    bounded(scale) {
        return Math.min(Math.max(MAX_SEAT_SIZE, this.fitting), Math.max(this.fitting, scale));
    }

    keepInside() {
        this.x = inside(this.x, this.width / this.scale, this.planWidth);
        this.y = inside(this.y, this.height / this.scale, this.planHeight);
    }
}

/** @param {number} from @param {number} shown @param {number} whole */
function inside(from, shown, whole) {
    if (shown >= whole) return (whole - shown) / 2;
    return Math.min(Math.max(from, 0), whole - shown);
}
