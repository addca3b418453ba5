import assert from "node:assert/strict";
import {test} from "node:test";

import {Passes, TicketClient} from "../../../shop/static/shop/client/index.js";
import {EVENT, pause, serve, token, until} from "./server.js";

const CHECK = `POST /queue/check/${EVENT}`;
const STATUS = `GET /queue/status/${EVENT}`;
const HEARTBEAT = `POST /queue/heartbeat/${EVENT}`;
const WAITING = {
    queued: true, state: "waiting", position: 7, queueSize: 20, estimatedWait: 12, estimatedWaitRange: [10, 15], estimateIsMeasured: true,
    isPaused: false, isAdmitting: true, currentUsers: 5, threshold: 5, ticket: "t1",
}; // prettier-ignore
const ACTIVE = {queued: false, state: "active", queueSize: 0, currentUsers: 5, threshold: 5, pass: "p1", passExpiresAt: "2030-06-01T10:00:00.000Z"};
const position = (number) => ({type: "queue-position", eventId: EVENT, position: number, queueSize: 20, estimatedWait: number, state: "waiting"});
const ALLOWED = {type: "queue-entry-allowed", eventId: EVENT, userId: "u", message: "", pass: "p2", expiresAt: "2030-06-01T10:10:00.000Z"};
const QUICK = {pollMs: 40, refreshMs: 10_000, heartbeatMs: 10_000, baseMs: 20};

async function inQueue(routes, run, {options = {}, client: settings = {}} = {}) {
    const server = await serve({[CHECK]: () => ({body: WAITING}), [HEARTBEAT]: () => ({body: WAITING}), [`POST /queue/leave/${EVENT}`]: () => ({}), ...routes});
    const client = new TicketClient({base: server.base, retries: 0, passes: new Passes(null), token: () => "the-token", ...settings});
    const queue = client.queue(EVENT, {...QUICK, ...options});
    const told = {views: [], admitted: 0, messages: [], errors: []};
    queue.on("change", (view) => told.views.push(view));
    queue.on("admitted", () => told.admitted++);
    queue.on("message", (message) => told.messages.push(message.type));
    queue.on("error", (error) => told.errors.push(error.code ?? error.name));
    try {
        await run({server, client, queue, told});
    } finally {
        queue.stop();
        server.stop();
    }
}

test("whoever is admitted at once does not wait", () =>
    inQueue({[CHECK]: () => ({body: ACTIVE})}, async ({queue, told, client}) => {
        await queue.join();
        assert.deepEqual([queue.view.state, queue.view.passExpiresAt, told.admitted], ["active", ACTIVE.passExpiresAt, 1]);
        assert.equal(client.passes.of(EVENT).pass, "p1");
    }));

test("the position moves over the socket, with the token in its protocol, and the admission comes once", () =>
    inQueue({}, async ({queue, told, server, client}) => {
        await queue.join();
        assert.deepEqual([queue.view.state, queue.view.position, queue.view.estimatedWaitRange], ["waiting", 7, [10, 15]]);
        const socket = await server.socket(0);
        assert.deepEqual([socket.path, socket.protocols], [`/ws/queue/${EVENT}`, ["bearer", "the-token"]]);
        for (const number of [6, 5, 4]) socket.send(position(number));
        await until(() => queue.view.position === 4 && queue.view.isLive);
        socket.send(ALLOWED);
        socket.send(ALLOWED); // another tab has made the server say it again
        socket.send({type: "queue-position", eventId: EVENT, position: 0, queueSize: 19, estimatedWait: 0, state: "active", pass: "p3", expiresAt: ALLOWED.expiresAt});
        await until(() => client.passes.of(EVENT).pass === "p3");
        assert.deepEqual([queue.view.state, queue.view.position, told.admitted], ["active", null, 1]);
    }));

test("without the socket the place is kept by asking, and the socket comes back to it", () =>
    inQueue({}, async ({queue, server}) => {
        await queue.join();
        const socket = await server.socket(0);
        socket.send(position(6));
        await until(() => queue.view.isLive);
        const before = server.asked(HEARTBEAT).length;
        await pause(150);
        assert.equal(server.asked(HEARTBEAT).length, before); // the open socket counts
        let isAway = true;
        const accept = server.accept.bind(server);
        server.http.removeAllListeners("upgrade");
        server.http.on("upgrade", (request, stream) => (isAway ? stream.destroy() : accept(request, stream)));
        socket.break();
        await until(() => server.asked(HEARTBEAT).length >= before + 3);
        assert.equal(server.asked(HEARTBEAT)[0].headers["queue-ticket"], "t1");
        assert.deepEqual([queue.view.state, queue.view.isLive], ["waiting", false]);
        isAway = false;
        const next = await server.socket(1);
        next.send(position(2));
        await until(() => queue.view.position === 2 && queue.view.isLive);
    }));

test("an admission that came while the socket was away is found by asking", () =>
    inQueue({[HEARTBEAT]: () => ({body: ACTIVE})}, async ({queue, server, told}) => {
        await queue.join();
        (await server.socket(0)).break();
        await until(() => queue.view.state === "active");
        assert.equal(told.admitted, 1);
    }));

test("a token that the socket refuses is renewed once", async () => {
    let held = token("old");
    const renew = () => Boolean((held = token("new")));
    await inQueue({}, async ({queue, server}) => {
        await queue.join();
        const first = await server.socket(0);
        const old = held;
        first.close(4401);
        const second = await server.socket(1);
        assert.equal(second.protocols[1], held);
        assert.notEqual(held, old);
        second.close(4401);
        await until(() => queue.view.state === "signed-out");
        await pause(100);
        assert.equal(server.sockets.length, 2);
    }, {client: {token: () => held, renew}}); // prettier-ignore
});

test("after a renewal that worked the next one is tried, too", async () => {
    let renewals = 0;
    await inQueue({}, async ({queue, server}) => {
        await queue.join();
        (await server.socket(0)).close(4401);
        const second = await server.socket(1);
        second.send(position(3));
        await until(() => queue.view.position === 3);
        second.close(4401);
        (await server.socket(2)).send(position(2));
        await until(() => queue.view.position === 2);
        assert.equal(renewals, 2);
    }, {client: {renew: () => ++renewals}}); // prettier-ignore
});

test("a cleared queue ends the wait and its ticket, and can be joined again", () =>
    inQueue({}, async ({queue, server, client}) => {
        await queue.join();
        (await server.socket(0)).send({type: "queue-cleared", eventId: EVENT, message: ""});
        await until(() => queue.view.state === "cleared");
        assert.deepEqual(client.passes.of(EVENT), {});
        await pause(100);
        assert.equal(server.sockets.length, 1);
        await queue.join();
        assert.equal(queue.view.state, "waiting");
        await server.socket(1);
    }));

test("a join challenge is told, and its solution sent", () => {
    const check = ({headers}) => (headers["challenge-response"] === "solved" ? {body: WAITING} : {status: 403, body: {code: "CHALLENGE_REQUIRED", detail: ""}});
    return inQueue({[CHECK]: check}, async ({queue, told}) => {
        await queue.join();
        assert.deepEqual([queue.view.state, told.errors], ["challenge", ["CHALLENGE_REQUIRED"]]);
        await queue.join("solved");
        assert.equal(queue.view.state, "waiting");
    });
});

test("an event that has ended is told, and a check without an answer is repeated", () => {
    const answers = [null, {status: 503, body: {code: "WAITING_ROOM_UNAVAILABLE", detail: ""}}, {status: 409, body: {code: "QUEUE_CLOSED", detail: ""}}];
    return inQueue({[CHECK]: (_request, before) => answers[before]}, async ({queue, told, server}) => {
        await queue.join();
        assert.equal(queue.view.state, "joining");
        await until(() => queue.view.state === "closed");
        assert.deepEqual(told.errors, ["NetworkError", "WAITING_ROOM_UNAVAILABLE", "QUEUE_CLOSED"]);
        await pause(100);
        assert.equal(server.asked(CHECK).length, 3);
    });
});

test("an answer that was overtaken by the admission is not shown", () => {
    const slow = async () => (await pause(150), {body: WAITING});
    return inQueue({[HEARTBEAT]: slow}, async ({queue, server, told}) => {
        await queue.join();
        const socket = await server.socket(0);
        await until(() => server.asked(HEARTBEAT).length);
        socket.send(ALLOWED);
        await until(() => queue.view.state === "active");
        await pause(250);
        assert.deepEqual([queue.view.state, told.admitted], ["active", 1]);
    }, {options: {refreshMs: 30}}); // prettier-ignore
});

test("leaving ends everything, and too many tabs end this one", () =>
    inQueue({}, async ({queue, server}) => {
        await queue.join();
        const socket = await server.socket(0);
        await queue.leave();
        assert.equal(queue.view.state, "left");
        await until(() => !socket.isOpen);
        await queue.join();
        (await server.socket(1)).close(4409);
        await until(() => queue.view.state === "replaced");
        await pause(100);
        assert.deepEqual([server.sockets.length, server.asked(`POST /queue/leave/${EVENT}`).length], [2, 1]);
    }));

test("what the library does not know is passed on", () =>
    inQueue({}, async ({queue, server, told}) => {
        await queue.join();
        (await server.socket(0)).send({type: "waitlist-offered", eventId: EVENT, reservationId: "r1"});
        await until(() => told.messages.length);
        assert.deepEqual(told.messages, ["waitlist-offered"]);
    }));
