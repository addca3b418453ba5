import assert from "node:assert/strict";
import {test} from "node:test";

import {TicketClient} from "../../../shop/static/shop/client/index.js";
import {EVENT, pause, serve, until} from "./server.js";

const PATH = `GET /seats/events/${EVENT}`;
const QUICK = {pollMs: 10_000, patienceMs: 30, refetchMs: 40, baseMs: 20};

/** A seat map that changes, as the service has it: the truth, and what each change is told as. */
class Hall {
    constructor(size = 6) {
        this.version = 10;
        this.seats = Array.from({length: size}, (_, number) => ({id: `s${number}`, status: "available"}));
    }

    change(number, status) {
        this.seats[number].status = status;
        const type = {available: "seat-released", locked: "seat-locked", sold: "seat-sold"}[status];
        return {type, eventId: EVENT, seatId: `s${number}`, status, version: ++this.version, timestamp: new Date().toISOString()};
    }

    hello() {
        return {type: "hello", eventId: EVENT, version: this.version};
    }

    snapshot(version = this.version, seats = this.seats) {
        const body = {event: {id: EVENT, title: ""}, layout: {}, seats: structuredClone(seats)};
        return {headers: {"Seat-Map-Version": String(version)}, body};
    }
}

/** What a page would show, and everything that it was told. */
function watch(feed) {
    const shown = {statuses: {}, versions: [], snapshots: 0, connections: [], stock: [], events: 0, errors: []};
    feed.on("snapshot", ({seats}) => {
        shown.snapshots++;
        shown.statuses = Object.fromEntries(seats.map(({id, status}) => [id, status]));
    });
    feed.on("changes", (changes) => {
        for (const {seatId, status, version} of changes) {
            shown.statuses[seatId] = status;
            shown.versions.push(version);
        }
    });
    feed.on("connection", (connection) => shown.connections.push(connection));
    feed.on("stock", (message) => shown.stock.push(message.availableQuantity));
    feed.on("event", () => shown.events++);
    feed.on("error", (error) => shown.errors.push(error.code));
    return shown;
}

async function live(run, {hall = new Hall(), map = () => hall.snapshot(), options = {}} = {}) {
    const server = await serve({[PATH]: map, [`GET /events/${EVENT}`]: () => ({body: {event: {}, ticketTypes: []}})});
    const feed = new TicketClient({base: server.base, retries: 0}).seatMap(EVENT, {...QUICK, ...options});
    const shown = watch(feed);
    feed.start();
    const isRight = () => hall.seats.every(({id, status}) => shown.statuses[id] === status);
    try {
        const socket = await server.socket(0);
        socket.send(hall.hello());
        await until(() => feed.connection === "live" && feed.version >= 10 && shown.events > 0);
        await run({server, socket, feed, shown, hall, isRight});
    } finally {
        feed.stop();
        server.stop();
    }
}

test("changes are told in order, those of a batch together, and the map is fetched once", () =>
    live(async ({socket, shown, hall, server, isRight}) => {
        socket.send(hall.change(0, "locked"));
        socket.send(hall.change(1, "locked"), hall.change(0, "sold"), {type: "ticket-updated", availableQuantity: 4});
        await until(isRight);
        assert.deepEqual(shown.versions, [11, 12, 13]);
        assert.deepEqual(shown.stock, [4]);
        assert.equal(server.asked(PATH).length, 1);
    }));

test("a frame that comes twice is told once", () =>
    live(async ({socket, shown, hall, server, isRight}) => {
        const locked = hall.change(0, "locked");
        const released = hall.change(0, "available");
        for (const message of [locked, locked, released, locked, released, hall.change(1, "sold")]) socket.send(message);
        await until(isRight);
        assert.deepEqual(shown.versions, [11, 12, 13]);
        assert.equal(server.asked(PATH).length, 1);
    }));

test("changes out of order are told in order, without fetching", () =>
    live(async ({socket, shown, hall, server, isRight}) => {
        const [first, second, third] = [hall.change(0, "locked"), hall.change(0, "sold"), hall.change(1, "locked")];
        for (const message of [third, second, first]) socket.send(message);
        await until(isRight);
        await pause(100);
        assert.deepEqual(shown.versions, [11, 12, 13]);
        assert.equal(server.asked(PATH).length, 1);
    }));

test("a gap is fetched, once for all that follows it", () =>
    live(async ({socket, feed, shown, hall, server, isRight}) => {
        hall.change(0, "locked"); // lost
        socket.send(hall.change(1, "locked"));
        socket.send(hall.change(2, "sold"));
        assert.equal(isRight(), false);
        await until(isRight);
        assert.equal(feed.version, 13);
        assert.deepEqual(shown.versions, []); // all of it came with the snapshot
        assert.equal(server.asked(PATH).length, 2);
        socket.send(hall.change(3, "locked"));
        await until(isRight);
        assert.deepEqual(shown.versions, [14]);
    }));

test("changes while the map is being fetched are not lost", async () => {
    const hall = new Hall();
    let release;
    const map = async (_request, before) => {
        const answer = hall.snapshot();
        if (before === 1) await new Promise((resolve) => (release = resolve));
        return answer;
    };
    await live(async ({socket, feed, isRight}) => {
        hall.change(0, "locked"); // lost
        socket.send(hall.change(1, "locked"));
        await until(() => release);
        socket.send(hall.change(2, "locked"));
        socket.send(hall.change(1, "sold"));
        release();
        await until(isRight);
        assert.equal(feed.version, 14);
    }, {hall, map}); // prettier-ignore
});

test("an old copy of the map is fetched again, with pauses that grow, and shows nothing old", async () => {
    const hall = new Hall();
    const old = hall.snapshot();
    let isFresh = false;
    const asked = [];
    const map = () => {
        asked.push(Date.now());
        return isFresh ? hall.snapshot() : old;
    };
    await live(async ({socket, shown, isRight}) => {
        hall.change(0, "locked"); // lost
        socket.send(hall.change(1, "locked"));
        await until(() => asked.length === 5);
        assert.equal(shown.snapshots, 1);
        const pauses = asked.slice(2).map((at, index) => at - asked[index + 1]);
        assert.ok(pauses[2] > pauses[0], String(pauses));
        isFresh = true;
        await until(isRight);
    }, {hall, map}); // prettier-ignore
});

test("another hello means that something was missed: the map and the event are fetched", () =>
    live(async ({socket, shown, hall, isRight}) => {
        hall.change(0, "sold");
        hall.change(1, "sold");
        socket.send(hall.hello());
        await until(() => isRight() && shown.events === 2);
    }));

test("after a lost connection the client comes back, and what was missed is fetched", () =>
    live(async ({socket, server, shown, hall, isRight}) => {
        socket.break();
        hall.change(0, "sold");
        const next = await server.socket(1);
        assert.ok(shown.connections.includes("polled"));
        next.send(hall.hello());
        await until(isRight);
        next.send(hall.change(1, "locked"));
        await until(isRight);
        assert.equal(shown.connections.at(-1), "live");
    }));

test("clients that lose the connection at one moment come back at different ones, later each time", async () => {
    const server = await serve({[PATH]: () => new Hall().snapshot()});
    const feeds = Array.from({length: 30}, () => new TicketClient({base: server.base, retries: 0}).seatMap(EVENT, {...QUICK, baseMs: 400, withEvent: false}).start());
    try {
        await until(() => server.sockets.length === 30);
        const lost = Date.now();
        for (const socket of server.sockets.slice()) socket.break();
        const back = [];
        for (let number = 30; number < 60; number++) {
            await server.socket(number);
            back.push(Date.now() - lost);
        }
        assert.ok(back[0] >= 190, String(back));
        assert.ok(back[29] - back[0] > 100, String(back));
    } finally {
        for (const feed of feeds) feed.stop();
        server.stop();
    }
});

test("`retry` names the moment to come back", () =>
    live(async ({socket, server}) => {
        const began = Date.now();
        socket.send({type: "retry", afterMs: 300});
        socket.close(1012);
        await server.socket(1);
        assert.ok(Date.now() - began >= 290);
    }));

test("codes that are final are final", async () => {
    for (const code of [4400, 4404, 4409]) {
        await live(async ({socket, feed, server}) => {
            socket.close(code);
            await until(() => feed.socket.state === "stopped");
            await pause(100);
            assert.equal(server.sockets.length, 1);
        });
    }
});

test("an event without seats is told, and not asked for them again; its stock goes on", async () => {
    const server = await serve({[PATH]: () => ({status: 404, body: {code: "NO_SEAT_SELECTION", detail: ""}})});
    const feed = new TicketClient({base: server.base}).seatMap(EVENT, {...QUICK, pollMs: 30});
    const shown = watch(feed);
    feed.start();
    const socket = await server.socket(0);
    await until(() => shown.errors.length);
    socket.send({type: "hello", eventId: EVENT, version: 1});
    socket.send({type: "ticket-updated", availableQuantity: 3});
    await until(() => shown.stock.length);
    await pause(150);
    assert.deepEqual([shown.errors, shown.connections.at(-1)], [["NO_SEAT_SELECTION"], "live"]);
    assert.equal(server.asked(PATH).length, 1);
    feed.stop();
    server.stop();
});

test("an event that does not exist ends it", async () => {
    const server = await serve({[PATH]: () => ({status: 404, body: {code: "EVENT_NOT_FOUND", detail: ""}})});
    const feed = new TicketClient({base: server.base}).seatMap(EVENT, {...QUICK, pollMs: 30});
    const shown = watch(feed);
    feed.start();
    await until(() => shown.errors.length);
    await pause(100);
    assert.deepEqual([shown.errors, feed.connection], [["EVENT_NOT_FOUND"], "stopped"]);
    assert.equal(server.asked(PATH).length, 1);
    server.stop();
});

test("without a socket the map is fetched every few seconds", async () => {
    const hall = new Hall();
    await live(async ({socket, server, isRight}) => {
        server.http.removeAllListeners("upgrade");
        server.http.on("upgrade", (_request, stream) => stream.destroy());
        socket.break();
        hall.change(0, "sold");
        await until(isRight);
        hall.change(1, "sold");
        await until(isRight);
    }, {hall, options: {pollMs: 40}}); // prettier-ignore
});

test("a socket that has died without a word is replaced", async () => {
    const hall = new Hall();
    await live(async ({server, isRight}) => {
        hall.change(0, "sold"); // the server believes that it was told
        const next = await server.socket(1);
        next.send(hall.hello());
        await until(isRight);
    }, {hall, options: {pollMs: 50, silenceMs: 100}}); // prettier-ignore
});

test("whatever is lost, doubled, delayed or cut off, what is shown in the end is the truth", async () => {
    let seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    console.log(`SEED=${seed}`);
    const random = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
    const hall = new Hall(40);
    const stale = [hall.snapshot()];
    const map = () => (random() < 0.3 ? stale[Math.floor(random() * stale.length)] : hall.snapshot()); // a cache in between
    await live(async ({server, feed, shown, isRight}) => {
        for (let step = 0; step < 600; step++) {
            const socket = server.sockets.at(-1);
            const message = hall.change(Math.floor(random() * 40), ["available", "locked", "sold"][Math.floor(random() * 3)]);
            const fate = random();
            if (fate < 0.05) socket.break();
            else if (fate > 0.1) for (let copies = random() < 0.1 ? 2 : 1; copies; copies--) setTimeout(() => socket.send(message), random() < 0.2 ? 20 * random() : 0);
            if (step % 50 === 0) stale.push(hall.snapshot());
            if (random() < 0.2) await pause(5 * random());
            const last = server.sockets.at(-1);
            if (last.isOpen && !last.greeted) {
                last.greeted = true;
                last.send(hall.hello());
            }
        }
        await until(() => server.sockets.at(-1).isOpen);
        server.sockets.at(-1).send(hall.hello());
        stale.length = 1;
        stale[0] = hall.snapshot();
        await until(isRight);
        assert.equal(feed.version, hall.version);
        const versions = shown.versions;
        assert.ok(versions.every((version, index) => index === 0 || version > versions[index - 1]));
    }, {hall, map}); // prettier-ignore
});
