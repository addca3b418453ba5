// An event's seat map as it changes: a snapshot with a version, then versioned changes. A push is a hint, the snapshot is the
// truth: whatever was missed is fetched again (docs/live.md).

import {Emitter} from "./emitter.js";
import {ApiError} from "./errors.js";
import {ReconnectingSocket} from "./sockets.js";
import {backoff, sleep} from "./timing.js";

/**
 * @typedef {import("./types.js").SeatMapSnapshot} SeatMapSnapshot
 * @typedef {import("./types.js").SeatChange} SeatChange
 * @typedef {import("./types.js").StockMessage} StockMessage
 */

/**
 * @typedef {"connecting" | "live" | "polled" | "lost" | "stopped"} FeedConnection
 * `polled`: no socket, the map is fetched every few seconds; `lost`: neither; `stopped`: by you, or for good
 */

/**
 * @typedef {object} SeatMapEvents
 * @property {SeatMapSnapshot} snapshot the whole map: at the beginning, and whenever something was missed
 * @property {SeatChange[]} changes in order, all of one frame together
 * @property {StockMessage} stock of a ticket type
 * @property {{event: any, ticketTypes: any[]}} event `GET /events/:id`: whenever stock or status may have been missed
 * @property {string} status of the event
 * @property {FeedConnection} connection
 * @property {Error} error why there is no map: a 404, for one
 */

/**
 * @typedef {object} SeatMapFeedOptions
 * @property {import("./http.js").Http} http
 * @property {string} eventId
 * @property {string} url of the socket
 * @property {string} [path] of the snapshot
 * @property {boolean} [withEvent] whether to fetch the event, too; true by default
 * @property {typeof WebSocket} [WebSocket]
 * @property {number} [pollMs] without a socket: 5,000
 * @property {number} [patienceMs] how long a missing version is waited for, before the map is fetched: 150
 * @property {number} [refetchMs] between two fetches, at least: 500; doubled while they do not help
 * @property {number} [silenceMs] after which a silent socket is checked: 60,000
 * @property {number} [baseMs] see `ReconnectingSocket`
 */

/** @extends {Emitter<SeatMapEvents>} */
export class SeatMapFeed extends Emitter {
    /** @param {SeatMapFeedOptions} options */
    constructor(options) {
        super();
        this.options = {pollMs: 5_000, patienceMs: 150, refetchMs: 500, silenceMs: 60_000, ...options};
        this.http = options.http;
        this.version = -1; // of what the handlers have been told
        this.knownVersion = -1; // the highest that the server is known to have
        /** @type {Map<number, SeatChange>} */
        this.early = new Map(); // changes that cannot be applied yet, by version
        this.hasMap = true; // until the service says that there is none
        this.isFetching = false;
        this.fruitless = 0; // fetches since the map was complete
        /** @type {FeedConnection} */
        this.connection = "stopped";
        this.isLive = false; // a `hello` has come over this connection
        this.heardAt = 0; // when the socket last said something
        this.isChecking = false;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.refetchTimer = undefined;
        /** @type {ReturnType<typeof setInterval> | undefined} */
        this.pollTimer = undefined;
        this.socket = new ReconnectingSocket({
            url: options.url,
            WebSocket: options.WebSocket,
            baseMs: options.baseMs,
            onMessage: (message) => this.receive(message),
            onFrame: () => this.apply(),
            onState: (state, reason) => this.socketChanged(state, reason),
        });
    }

    start() {
        this.setConnection("connecting");
        this.socket.start();
        this.fetchMap();
        globalThis.document?.addEventListener("visibilitychange", this.poll);
        this.pollTimer = setInterval(this.poll, this.options.pollMs);
        return this;
    }

    stop() {
        globalThis.document?.removeEventListener("visibilitychange", this.poll);
        clearInterval(this.pollTimer);
        clearTimeout(this.refetchTimer);
        this.refetchTimer = undefined;
        this.socket.stop();
        this.setConnection("stopped");
    }

    // --- The socket ---

    /**
     * @param {import("./sockets.js").SocketState} state
     * @param {string} reason
     */
    socketChanged(state, reason) {
        if (state === "open") return; // live when it has said hello
        this.isLive = false;
        if (state === "waiting") this.setConnection("polled");
        if (state === "stopped" && reason === "not-found") this.setConnection("stopped");
    }

    /** @param {any} message */
    receive(message) {
        this.heardAt = Date.now();
        switch (message.type) {
            case "hello":
                return this.greet(message.version);
            case "seat-locked":
            case "seat-released":
            case "seat-sold":
                if (message.version > this.version) this.early.set(message.version, message);
                this.knownVersion = Math.max(this.knownVersion, message.version);
                return;
            case "ticket-updated":
                return this.emit("stock", message);
            case "event-status-changed":
                return this.emit("status", message.status);
        }
    }

    /**
     * From here on nothing is missed; what was before may have been.
     *
     * @param {number} version which only grows
     */
    greet(version) {
        this.isLive = true;
        this.setConnection("live");
        this.early.clear();
        this.knownVersion = Math.max(version, this.version);
        if (version > this.version) this.refetch(this.version < 0 ? 0 : this.options.patienceMs);
        this.fetchEvent();
    }

    /** Tells the changes that follow each other; whatever is missing then is waited for, a little, and fetched. */
    apply() {
        const changes = [];
        for (let next; (next = this.early.get(this.version + 1)); this.version++) {
            this.early.delete(this.version + 1);
            changes.push(next);
        }
        if (changes.length) this.emit("changes", changes);
        if (this.version < this.knownVersion) this.refetch(this.options.patienceMs);
        else this.hasCaughtUp();
    }

    hasCaughtUp() {
        this.fruitless = 0;
        clearTimeout(this.refetchTimer);
        this.refetchTimer = undefined;
    }

    // --- The snapshot ---

    /** Fetches the map soon, once. @param {number} pauseMs */
    refetch(pauseMs) {
        if (this.isFetching || this.refetchTimer !== undefined || !this.hasMap || this.connection === "stopped") return;
        const {refetchMs} = this.options;
        const pause = this.fruitless ? backoff(this.fruitless - 1, {baseMs: 2 * refetchMs, maxMs: 20_000}) : pauseMs * (1 + Math.random());
        this.refetchTimer = setTimeout(() => {
            this.refetchTimer = undefined;
            this.fetchMap();
        }, pause);
    }

    async fetchMap() {
        if (this.isFetching || !this.hasMap) return;
        this.isFetching = true;
        try {
            const path = this.options.path ?? `/seats/events/${this.options.eventId}`;
            // From the browser's cache, if the server says that it is still the same.
            const {data, headers} = await this.http.request("GET", path, {cache: "no-cache"});
            this.take(Number(headers.get("Seat-Map-Version")), data);
            if (!this.isLive && this.connection !== "connecting") this.setConnection("polled");
        } catch (error) {
            this.fetchFailed(error);
        }
        this.isFetching = false;
        this.fruitless++;
        if (this.connection !== "stopped") this.apply();
    }

    /**
     * @param {number} version
     * @param {any} data
     */
    take(version, data) {
        if (version <= this.version || this.connection === "stopped") return; // shown already, or an old copy
        this.version = version;
        this.knownVersion = Math.max(this.knownVersion, version);
        for (const early of this.early.keys()) if (early <= version) this.early.delete(early);
        this.emit("snapshot", {...data, version});
    }

    /** @param {unknown} error */
    fetchFailed(error) {
        if (!(error instanceof ApiError && error.status === 404)) {
            if (!this.isLive) this.setConnection("lost");
            return;
        }
        this.hasMap = false;
        if (error.code !== "NO_SEAT_SELECTION") this.stop(); // an event without seats has stock and a status
        this.emit("error", error);
    }

    async fetchEvent() {
        if (this.options.withEvent === false) return;
        try {
            const {data} = await this.http.request("GET", `/events/${this.options.eventId}`, {cache: "no-cache"});
            this.emit("event", data);
            if (!this.isLive && this.connection === "lost") this.setConnection("polled");
        } catch {
            // the next hello or poll asks again
        }
    }

    // --- Without news ---

    poll = async () => {
        if (!this.isLive) {
            if (globalThis.document?.hidden || this.connection === "stopped") return;
            this.fetchMap();
            this.fetchEvent();
        } else if (Date.now() - this.heardAt > this.options.silenceMs && !this.isChecking) {
            this.isChecking = true;
            await this.checkSocket();
            this.isChecking = false;
        }
    };

    /** Nothing has changed, or the connection is dead and nobody has noticed: then the map has a version that it did not tell. */
    async checkSocket() {
        const {version, heardAt} = this;
        await this.fetchMap();
        if (this.version > version) await sleep(2_000); // for what is on its way
        if (this.heardAt !== heardAt) return;
        if (this.version > version) this.socket.restart();
        this.heardAt = Date.now();
    }

    /** @param {FeedConnection} connection */
    setConnection(connection) {
        if (this.connection === connection) return;
        this.connection = connection;
        this.emit("connection", connection);
    }
}
