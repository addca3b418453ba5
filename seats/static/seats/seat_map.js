// The seat map on a canvas. It holds thousands of seats, so a change redraws one of them.

const MAX_HEIGHT = 660; // pixels
const FLASH_MS = 900;

export class SeatMap {
    constructor(canvas, tip, plan, texts) {
        Object.assign(this, {canvas, tip, plan, texts});
        this.blocks = new Map(plan.blocks.map((block) => [block.name, block]));
        this.seats = new Map(); // by id: {x, y, label, price, status}
        this.seatsByPosition = new Map(); // the same objects, by "x:y"
        this.counts = {available: 0, locked: 0, sold: 0};
        this.flashes = new Map();
        new ResizeObserver(() => this.fit()).observe(canvas.parentElement);
        new MutationObserver(() => this.fit()).observe(document.documentElement, {attributeFilter: ["data-theme"]});
        canvas.addEventListener("mousemove", (event) => this.showTip(event));
        canvas.addEventListener("mouseleave", () => (this.tip.hidden = true));
    }

    load(seats) {
        const previous = this.seats;
        this.seats = new Map();
        this.seatsByPosition = new Map();
        this.counts = {available: 0, locked: 0, sold: 0};
        for (const seat of seats) {
            const block = this.blocks.get(seat.section);
            const status = seatState(seat.status);
            this.counts[status]++;
            if (!block) continue; // created after this page was loaded
            const x = block.x + seat.seat_number - 1;
            const y = block.y + seat.row_number - block.firstRow;
            const drawn = {x, y, label: seat.seat_label, price: seat.price, status};
            this.seats.set(seat.id, drawn);
            this.seatsByPosition.set(`${x}:${y}`, drawn);
        }
        this.draw();
        for (const [id, seat] of this.seats) {
            if (previous.size && previous.get(id)?.status !== seat.status) this.flash(seat);
        }
    }

    change(id, status) {
        const seat = this.seats.get(id);
        if (!seat) return;
        this.counts[seat.status]--;
        seat.status = seatState(status);
        this.counts[seat.status]++;
        this.flash(seat);
    }

    // --- Drawing ---

    fit() {
        const {plan, canvas} = this;
        const width = canvas.parentElement.clientWidth;
        this.scale = Math.min(width / plan.width, MAX_HEIGHT / plan.height, 22);
        const ratio = window.devicePixelRatio || 1;
        canvas.style.width = `${plan.width * this.scale}px`;
        canvas.style.height = `${plan.height * this.scale}px`;
        canvas.width = Math.round(plan.width * this.scale * ratio);
        canvas.height = Math.round(plan.height * this.scale * ratio);
        this.ratio = canvas.width / plan.width;
        const style = getComputedStyle(canvas);
        const colour = (name) => style.getPropertyValue(name).trim();
        this.colours = {available: colour("--available"), locked: colour("--locked"), sold: colour("--sold")};
        this.background = colour("--card-bg");
        this.foreground = colour("--body-fg");
        this.stageColour = colour("--selected-bg");
        this.font = style.fontFamily;
        this.draw();
    }

    draw() {
        if (!this.ratio) return;
        const pen = this.canvas.getContext("2d");
        pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
        pen.clearRect(0, 0, this.plan.width, this.plan.height);
        pen.fillStyle = this.stageColour;
        rounded(pen, this.plan.middle - 10, 1, 20, 3, 1);
        pen.fillStyle = this.foreground;
        pen.textAlign = "center";
        pen.font = `700 1.5px ${this.font}`;
        pen.fillText(this.texts.stage, this.plan.middle, 3.05);
        pen.font = `700 1.3px ${this.font}`;
        for (const block of this.plan.blocks) pen.fillText(block.name, block.x + block.seatsPerRow / 2, block.y - 0.8);
        for (const seat of this.seats.values()) this.drawSeat(pen, seat);
    }

    drawSeat(pen, seat, glow = 0) {
        pen.fillStyle = this.background;
        pen.fillRect(seat.x, seat.y, 1, 1);
        pen.fillStyle = this.colours[seat.status];
        const inset = 0.12 * (1 - glow);
        rounded(pen, seat.x + inset, seat.y + inset, 1 - 2 * inset, 1 - 2 * inset, this.scale > 5 ? 0.24 : 0);
        if (glow) {
            pen.globalAlpha = glow * 0.7;
            pen.fillStyle = this.foreground;
            rounded(pen, seat.x, seat.y, 1, 1, 0.24);
            pen.globalAlpha = 1;
        }
    }

    flash(seat) {
        const wasIdle = this.flashes.size === 0;
        this.flashes.set(seat, performance.now());
        if (wasIdle) requestAnimationFrame((now) => this.animate(now));
    }

    animate(now) {
        if (!this.ratio) return this.flashes.clear();
        const pen = this.canvas.getContext("2d");
        pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
        for (const [seat, since] of this.flashes) {
            const glow = Math.max(0, 1 - (now - since) / FLASH_MS);
            this.drawSeat(pen, seat, Math.min(1, glow));
            if (glow === 0) this.flashes.delete(seat);
        }
        if (this.flashes.size) requestAnimationFrame((then) => this.animate(then));
    }

    showTip(event) {
        const seat = this.seatAt(event.offsetX / this.scale, event.offsetY / this.scale);
        this.tip.hidden = !seat;
        if (!seat) return;
        const price = this.texts.won.replace("%s", seat.price.toLocaleString());
        this.tip.textContent = `${seat.label} · ${price} · ${this.texts[seat.status]}`;
        this.tip.style.left = `${this.canvas.offsetLeft + (seat.x + 0.5) * this.scale}px`;
        this.tip.style.top = `${this.canvas.offsetTop + seat.y * this.scale}px`;
    }

    seatAt(x, y) {
        for (const block of this.plan.blocks) {
            if (x >= block.x && x < block.x + block.seatsPerRow && y >= block.y && y < block.y + block.rows) {
                return this.seatsByPosition.get(`${block.x + Math.floor(x - block.x)}:${block.y + Math.floor(y - block.y)}`);
            }
        }
        return undefined;
    }
}

function seatState(status) {
    return status === "available" || status === "locked" ? status : "sold"; // messages for old clients say "reserved"
}

function rounded(pen, x, y, width, height, radius) {
    if (!radius) return pen.fillRect(x, y, width, height);
    pen.beginPath();
    pen.roundRect(x, y, width, height, radius);
    pen.fill();
}
