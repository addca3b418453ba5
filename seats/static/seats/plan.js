// Where the sections of a hall are drawn, as `events/services/seat_plan.py` places them. Units are seats: one is as wide as a seat
// and as deep as a row. The stage is at the top.

const WIDEST_LINE = 90; // seats; beyond that a section goes below, not beside
const NARROWEST = 12; // room for a section's name
const AISLE = 3; // between sections
const AISLE_WIDTH = 1; // within a row
const HEADING = 3; // above each section, for its name
const STAGE = 6;
const STAGE_FRONT = 4; // where the stage ends

/**
 * @typedef {object} Block a section, or a part of one, as a grid of rows and columns
 * @property {string} name
 * @property {number} rows
 * @property {number} seatsPerRow
 * @property {(row: number) => number} indexOfRow 0 for the first; outside of 0 to rows - 1 if there is no such row
 * @property {number} startRow
 * @property {number[]} columns where each column begins, from the left side of the block
 * @property {number} width
 * @property {number} x the left side
 * @property {number} y the front of the first row
 * @property {{x: number, y: number} | null} place where the layout wants it: from the middle of the stage, and behind it
 */

/**
 * @typedef {object} Plan
 * @property {number} width
 * @property {number} height
 * @property {number} middle of the stage
 * @property {Block[]} blocks
 */

/** @typedef {{section: string, row_number: number, seat_number: number}} PlacedSeat */

/**
 * @param {unknown} layout `{sections: [{name, rows, seatsPerRow, startRow, aisles, x, y}]}`
 * @param {PlacedSeat[]} seats those that the layout does not know get blocks of their own, behind all others
 * @returns {Plan}
 */
export function planOf(layout, seats) {
    const blocks = blocksOf(layout);
    return arrange([...blocks, ...blocksOfStrangers(blocks, seats)]);
}

/** @param {unknown} layout @returns {Block[]} */
function blocksOf(layout) {
    const sections = /** @type {any} */ (layout)?.sections;
    if (!Array.isArray(sections)) return [];
    return sections
        .filter((raw) => raw && typeof raw.name === "string" && isCount(raw.rows) && isCount(raw.seatsPerRow))
        .map((raw) => {
            const startRow = Number.isInteger(raw.startRow) ? raw.startRow : 1;
            const aisles = Array.isArray(raw.aisles) ? raw.aisles : [];
            const place = Number.isFinite(raw.x) && Number.isFinite(raw.y) ? {x: raw.x, y: raw.y} : null;
            return block({name: raw.name, rows: raw.rows, seatsPerRow: raw.seatsPerRow, startRow, aisles, place});
        });
}

/** @param {any} value */
function isCount(value) {
    return Number.isInteger(value) && value > 0 && value <= 200_000;
}

/**
 * @param {{name: string, rows: number, seatsPerRow: number, startRow: number, aisles?: number[],
 *     place?: {x: number, y: number} | null, indexOfRow?: (row: number) => number}} given
 * @returns {Block}
 */
function block({name, rows, seatsPerRow, startRow, aisles = [], place = null, indexOfRow = (row) => row - startRow}) {
    const columns = [];
    let x = 0;
    const before = new Set(aisles);
    for (let number = 1; number <= seatsPerRow; number++) {
        columns.push(x);
        x += 1 + (before.has(number) && number < seatsPerRow ? AISLE_WIDTH : 0);
    }
    return {name, rows, seatsPerRow, startRow, columns, width: x, x: 0, y: 0, place, indexOfRow};
}

/** @param {Block[]} blocks @param {PlacedSeat[]} seats @returns {Block[]} */
function blocksOfStrangers(blocks, seats) {
    /** @type {Map<string, {rows: Set<number>, width: number}>} */
    const strangers = new Map();
    const find = finder(blocks);
    for (const seat of seats) {
        if (find(seat)) continue;
        const section = strangers.get(seat.section) ?? {rows: new Set(), width: 1};
        section.rows.add(seat.row_number);
        section.width = Math.min(5_000, Math.max(section.width, seat.seat_number));
        strangers.set(seat.section, section);
    }
    return [...strangers].map(([name, {rows, width}]) => {
        const order = new Map([...rows].sort((one, other) => one - other).map((row, index) => [row, index]));
        const [startRow] = order.keys();
        const indexOfRow = (/** @type {number} */ row) => order.get(row) ?? -1;
        return block({name, rows: order.size, seatsPerRow: width, startRow, indexOfRow});
    });
}

/**
 * @param {Block[]} blocks
 * @returns {(seat: PlacedSeat) => Block | undefined} the block that has the seat
 */
export function finder(blocks) {
    /** @type {Map<string, Block[]>} */
    const byName = new Map();
    for (const one of blocks) byName.set(one.name, [...(byName.get(one.name) ?? []), one]);
    return (seat) =>
        byName.get(seat.section)?.find((one) => {
            const row = one.indexOfRow(seat.row_number);
            return row >= 0 && row < one.rows && seat.seat_number >= 1 && seat.seat_number <= one.seatsPerRow;
        });
}

/** @param {Block[]} blocks @returns {Plan} */
function arrange(blocks) {
    /** @type {Block[][]} */
    const lines = [];
    for (const one of blocks.filter(({place}) => !place)) {
        const line = lines.at(-1) ?? [];
        if (line.length && one.startRow === line[line.length - 1].startRow && widthOf([...line, one]) <= WIDEST_LINE) line.push(one);
        else lines.push([one]);
    }
    const reaches = blocks.map((one) => (one.place ? 2 * Math.abs(one.place.x) + roomOf(one) : 0));
    const width = Math.max(NARROWEST, ...lines.map(widthOf), ...reaches) + 2 * AISLE;
    let y = STAGE;
    for (const line of lines) {
        let x = (width - widthOf(line)) / 2;
        for (const one of line) {
            one.x = x + (roomOf(one) - one.width) / 2;
            one.y = y + HEADING;
            x += roomOf(one) + AISLE;
        }
        y += HEADING + Math.max(...line.map(({rows}) => rows));
    }
    for (const one of blocks) {
        if (!one.place) continue;
        one.x = width / 2 + one.place.x - one.width / 2;
        one.y = STAGE_FRONT + one.place.y;
        y = Math.max(y, one.y + one.rows);
    }
    return {width, height: y + 1, middle: width / 2, blocks};
}

/** @param {Block} one */
function roomOf(one) {
    return Math.max(one.width, NARROWEST);
}

/** @param {Block[]} line */
function widthOf(line) {
    return line.reduce((sum, one) => sum + roomOf(one), 0) + AISLE * (line.length - 1);
}
