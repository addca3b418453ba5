import assert from "node:assert/strict";
import {test} from "node:test";

import {
    ApiError, NetworkError, NotAdmitted, NotSupported, Passes, RateLimited, SeatConflict, SignedOut, TicketClient, TicketError, Unavailable,
} from "../../../shop/static/shop/client/index.js"; // prettier-ignore
import {EVENT, serve, token} from "./server.js";

const SEAT = "5ea70001-0000-4000-8000-000000000001";
const RESERVED = {status: 201, body: {message: "", reservation: {id: "r1", totalAmount: 150000, seats: []}}};

async function withServer(routes, options, run) {
    const server = await serve(routes);
    try {
        await run(new TicketClient({base: server.base, retryBaseMs: 10, passes: new Passes(null), ...options}), server);
    } finally {
        server.stop();
    }
}

const problem = (status, code, detail = code, headers = {}) => ({status, headers, body: {status, code, detail}});

test("every refusal has a class, its code and the service's text", async () => {
    const cases = [
        [problem(400, "SEAT_TAKEN", "이미 예약된 좌석입니다. (VIP-1-1)"), SeatConflict],
        [problem(403, "NOT_ADMITTED"), NotAdmitted],
        [problem(401, "UNAUTHENTICATED"), SignedOut],
        [problem(400, "TICKET_LIMIT_REACHED"), ApiError],
        [problem(405, "METHOD_NOT_ALLOWED"), NotSupported],
        [{status: 502, body: "<html>Bad gateway</html>"}, Unavailable],
    ];
    for (const [answer, kind] of cases) {
        await withServer({"POST /seats/reserve": () => answer}, {retries: 0}, async (client) => {
            const error = await client.reserveSeats({eventId: EVENT, seatIds: [SEAT]}).catch((thrown) => thrown);
            assert.equal(error.constructor, kind);
            assert.ok(error instanceof TicketError && error instanceof ApiError);
            assert.equal(error.status, answer.status);
            assert.equal(error.code, answer.body.code ?? "HTTP_502");
            if (kind === SeatConflict) assert.deepEqual([error.label, error.message], ["VIP-1-1", "이미 예약된 좌석입니다. (VIP-1-1)"]);
        });
    }
});

test("errors are asked for with their codes, and the shapes without a code are read, too", async () => {
    const old = () => ({status: 400, body: {success: false, message: "판매 중인 이벤트가 아닙니다."}});
    await withServer({"POST /seats/reserve": old}, {}, async (client, server) => {
        const error = await client.reserveSeats({eventId: EVENT, seatIds: [SEAT]}).catch((thrown) => thrown);
        assert.deepEqual([error.message, error.code], ["판매 중인 이벤트가 아닙니다.", "HTTP_400"]);
        assert.match(server.requests[0].headers.accept, /application\/problem\+json/);
    });
});

test("a purchase without an answer is repeated with the same key, and only then", async () => {
    const broken = (_request, before) => (before < 2 ? null : RESERVED);
    await withServer({"POST /seats/reserve": broken}, {}, async (client, server) => {
        const reserved = await client.reserveSeats({eventId: EVENT, seatIds: [SEAT]});
        assert.equal(reserved.id, "r1");
        const keys = server.asked("POST /seats/reserve").map(({headers}) => headers["idempotency-key"]);
        assert.equal(keys.length, 3);
        assert.equal(new Set(keys).size, 1);
        await client.reserveSeats({eventId: EVENT, seatIds: [SEAT]});
        assert.notEqual(server.requests.at(-1).headers["idempotency-key"], keys[0]);
    });
    await withServer({"POST /reservations/r1/cancel": () => null}, {}, async (client, server) => {
        await assert.rejects(client.cancel("r1"), NetworkError);
        assert.equal(server.requests.length, 1); // a cancellation has no key
    });
});

test("a Retry-After is waited for; one that is too long is told", async () => {
    const busy = (_request, before) => (before ? {body: {events: []}} : problem(503, "UNAVAILABLE", "", {"Retry-After": "1"}));
    await withServer({"GET /events": busy}, {}, async (client) => {
        const began = Date.now();
        assert.deepEqual((await client.events()).events, []);
        assert.ok(Date.now() - began >= 1_000);
    });
    const limited = () => problem(429, "RATE_LIMITED", "", {"Retry-After": "60"});
    await withServer({"GET /events": limited}, {}, async (client, server) => {
        const error = await client.events().catch((thrown) => thrown);
        assert.ok(error instanceof RateLimited);
        assert.equal(error.retryAfterMs, 60_000);
        assert.equal(server.requests.length, 1);
    });
});

test("a refused token is renewed once for all requests that were refused", async () => {
    let held = token("old");
    let renewals = 0;
    const fresh = token("new");
    const renew = async () => {
        renewals++;
        await new Promise((resolve) => setTimeout(resolve, 30));
        held = fresh;
        return true;
    };
    const mine = ({headers}) => (headers.authorization === `Bearer ${fresh}` ? {body: {reservations: []}} : problem(403, "INVALID_TOKEN"));
    await withServer({"GET /reservations/my": mine}, {token: () => held, renew}, async (client, server) => {
        const answers = await Promise.all([1, 2, 3, 4].map(() => client.myReservations()));
        assert.equal(answers.length, 4);
        assert.equal(renewals, 1);
        assert.equal(server.requests.length, 8);
    });
});

test("a token that is refused again is not renewed for ever", async () => {
    let renewals = 0;
    const renew = () => ++renewals;
    await withServer({"GET /reservations/my": () => problem(403, "INVALID_TOKEN")}, {token: () => "x", renew}, async (client, server) => {
        await assert.rejects(client.myReservations(), SignedOut);
        assert.deepEqual([renewals, server.requests.length], [1, 2]);
    });
});

test("a token that is about to end is renewed before it is sent", async () => {
    let held = token("old", 10);
    const renew = () => Boolean((held = token("new")));
    await withServer({"GET /reservations/my": () => ({body: {reservations: []}})}, {token: () => held, renew}, async (client, server) => {
        await client.myReservations();
        assert.deepEqual(server.requests.map(({headers}) => headers.authorization), [`Bearer ${held}`]); // prettier-ignore
    });
});

test("without a token nothing is sent that signs in", async () => {
    await withServer({"GET /events": () => ({body: {events: []}})}, {}, async (client, server) => {
        await client.events({status: "on_sale", q: "아이유 & co", page: undefined});
        assert.equal(server.requests[0].headers.authorization, undefined);
        assert.deepEqual([...new URL(server.requests[0].url, server.base).searchParams], [["status", "on_sale"], ["q", "아이유 & co"]]); // prettier-ignore
    });
});

test("no answer within the limit is a NetworkError, and what was aborted is not repeated", async () => {
    const never = () => new Promise((resolve) => setTimeout(() => resolve({}), 400));
    await withServer({"GET /events": never}, {timeoutMs: 40, retries: 1}, async (client, server) => {
        await assert.rejects(client.events(), NetworkError);
        assert.equal(server.requests.length, 2);
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 10);
        await assert.rejects(client.events({signal: controller.signal}), {name: "AbortError"});
        assert.ok(server.requests.length <= 3); // it may be aborted before it arrives
    });
});

test("what a service does not have is NotSupported", async () => {
    const suggest = () => problem(400, "INVALID_INPUT", "Invalid id format"); // an older one reads an event's id
    await withServer({"GET /events/suggest": suggest}, {}, async (client) => {
        await assert.rejects(client.suggest("아이유"), NotSupported);
        await assert.rejects(client.reserveBestSeats({eventId: EVENT, quantity: 2}), NotSupported);
        await assert.rejects(client.waitlist(EVENT), NotSupported);
        await assert.rejects(client.joinWaitlist(EVENT, {quantity: 2}), NotSupported);
    });
});

test("the newest pass and ticket go along, and end with the queue", async () => {
    const waiting = {body: {state: "waiting", queued: true, position: 3, queueSize: 9, ticket: "t1"}};
    const active = {body: {state: "active", queued: false, queueSize: 9, pass: "p1", passExpiresAt: "2030-06-01T10:00:00.000Z"}};
    const routes = {
        [`POST /queue/check/${EVENT}`]: () => waiting,
        [`GET /queue/status/${EVENT}`]: () => active,
        [`POST /queue/leave/${EVENT}`]: () => ({}),
        "POST /seats/reserve": () => RESERVED,
    };
    await withServer(routes, {}, async (client, server) => {
        await client.checkIn(EVENT);
        await client.queueStatus(EVENT);
        await client.reserveSeats({eventId: EVENT, seatIds: [SEAT]});
        await client.leaveQueue(EVENT);
        await client.checkIn(EVENT);
        const sent = server.requests.map(({headers}) => [headers["queue-pass"], headers["queue-ticket"]]);
        assert.deepEqual(sent, [[undefined, undefined], [undefined, "t1"], ["p1", undefined], [undefined, undefined], [undefined, undefined]]); // prettier-ignore
    });
});
