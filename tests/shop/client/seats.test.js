import assert from "node:assert/strict";
import {test} from "node:test";

import {Camera} from "../../../seats/static/seats/camera.js";
import {planOf} from "../../../seats/static/seats/plan.js";
import {Seats, classesOf} from "../../../seats/static/seats/seats.js";

const SECTIONS = [
    {name: "VIP", rows: 2, seatsPerRow: 6, price: 150000, startRow: 1, aisles: [2, 4]},
    {name: "R", rows: 3, seatsPerRow: 4, price: 120000, startRow: 3},
];

function hall(taken = {}, sections = SECTIONS) {
    const seats = [];
    for (const {name, rows, seatsPerRow, price, startRow} of sections) {
        for (let row = startRow; row < startRow + rows; row++) {
            for (let number = 1; number <= seatsPerRow; number++) {
                const label = `${name}-${row}-${number}`;
                seats.push({id: label, section: name, row_number: row, seat_number: number, seat_label: label, price, status: taken[label] ?? "available"});
            }
        }
    }
    return new Seats({sections}, seats);
}

const labels = (seats, groups) => groups.map((group) => group.map((index) => seats.rows[index].id));

test("a seat is found where it is drawn, and nothing in an aisle", () => {
    const seats = hall();
    for (let index = 0; index < seats.size; index++) assert.equal(seats.at(seats.x[index] + 0.5, seats.y[index] + 0.5), index);
    const second = seats.indexes.get("VIP-1-2");
    assert.equal(seats.at(seats.x[second] + 1.5, seats.y[second] + 0.5), -1);
    assert.equal(seats.sectionAt(seats.x[second] + 1.5, seats.y[second] + 0.5).name, "VIP");
    assert.equal(seats.at(0, 0), -1);
});

test("no two seats are drawn at one place, whatever the layout says", () => {
    for (const layout of [{}, null, {sections: "x"}, {sections: [null, {name: "VIP"}, {name: "VIP", rows: -1, seatsPerRow: 3}]}, {sections: SECTIONS.slice(1)}]) {
        const {rows} = hall();
        const seats = new Seats(layout, rows);
        const places = new Set(rows.map((_, index) => `${seats.x[index]}:${seats.y[index]}`));
        assert.equal(places.size, rows.length, JSON.stringify(layout));
    }
});

test("sections stand where the layout wants them, the others below one another", () => {
    const placed = [{...SECTIONS[0], x: -20, y: 3}, SECTIONS[1]];
    const {blocks, middle} = planOf({sections: placed}, []);
    assert.deepEqual([blocks[0].x + blocks[0].width / 2 - middle, blocks[0].y], [-20, 7]);
    assert.deepEqual([blocks[1].x + blocks[1].width / 2 - middle, blocks[1].y], [0, 9]);
});

test("counts follow each change, and what has not changed is not told", () => {
    const seats = hall({"VIP-1-1": "sold"});
    assert.deepEqual(seats.counts, [23, 0, 1]);
    assert.ok(seats.change("VIP-1-2", "locked") >= 0);
    assert.equal(seats.change("VIP-1-2", "locked"), -1);
    assert.equal(seats.change("VIP-1-1", "reserved"), -1); // the old clients' word for sold
    assert.equal(seats.change("nobody", "sold"), -1);
    assert.deepEqual(seats.counts, [22, 1, 1]);
    assert.equal(seats.sections[0].available, 10);
});

test("instead of a lost seat its neighbours are offered, in groups that stay together", () => {
    const seats = hall({"VIP-1-3": "sold"});
    const lost = seats.indexes.get("VIP-1-3");
    assert.deepEqual(labels(seats, seats.alternatives(lost, 1)), [["VIP-1-4"], ["VIP-2-3"], ["VIP-2-4"]]);
    const pairs = labels(seats, seats.alternatives(lost, 2));
    assert.deepEqual(pairs[0], ["VIP-2-3", "VIP-2-4"]);
    for (const pair of pairs) assert.ok(!pair.includes("VIP-1-3"));
    assert.ok(!pairs.some(([one, other]) => one === "VIP-1-2" && other === "VIP-1-4")); // an aisle between them
});

test("where the section has no room, another one is offered; where none has, nothing", () => {
    const taken = Object.fromEntries(hall().rows.filter(({section}) => section === "VIP").map(({id}) => [id, "sold"]));
    const seats = hall(taken);
    const lost = seats.indexes.get("VIP-2-3");
    const groups = labels(seats, seats.alternatives(lost, 4));
    assert.deepEqual(groups[0], ["R-3-1", "R-3-2", "R-3-3", "R-3-4"]);
    assert.deepEqual(seats.alternatives(lost, 5), []);
});

test("arrow keys reach every seat and come back", () => {
    const seats = hall();
    const first = seats.indexes.get("VIP-1-1");
    assert.equal(seats.rows[seats.next(first, 1, 0)].id, "VIP-1-2");
    assert.equal(seats.rows[seats.next(first, 0, 1)].id, "VIP-2-1");
    assert.equal(seats.next(first, -1, 0), -1);
    const reached = new Set([first]);
    const open = [first];
    while (open.length) {
        const from = open.pop();
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { // prettier-ignore
            const next = seats.next(from, dx, dy);
            if (next >= 0 && !reached.has(next)) open.push(next) && reached.add(next);
        }
    }
    assert.equal(reached.size, seats.size);
});

test("prices get at most six classes, the dearest first", () => {
    assert.deepEqual([...classesOf([30, 20, 10])], [[30, 0], [20, 1], [10, 2]]); // prettier-ignore
    const many = classesOf(Array.from({length: 20}, (_, index) => 1000 - index));
    assert.equal(new Set(many.values()).size, 6);
});

test("the camera keeps the point under the fingers, and the plan in view", () => {
    const camera = new Camera();
    Object.assign(camera, {planWidth: 100, planHeight: 50});
    camera.resize(400, 300);
    assert.equal(camera.scale, 4);
    const before = camera.toPlan(100, 150);
    camera.zoom(3, 100, 150);
    const after = camera.toPlan(100, 150);
    assert.ok(Math.abs(before.x - after.x) < 1e-9 && Math.abs(before.y - after.y) < 1e-9);
    camera.pan(1e6, 1e6);
    assert.deepEqual([camera.x, camera.y], [0, 0]);
    camera.zoom(1e-6);
    assert.ok(camera.isFitted);
    camera.zoom(1e6);
    assert.equal(camera.scale, 48);
});
