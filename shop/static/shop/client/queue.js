// A visitor's way through the waiting room: check in, wait, be admitted, and come back after a lost connection.

import {Emitter} from "./emitter.js";
import {ApiError, ChallengeRequired, SignedOut} from "./errors.js";
import {ReconnectingSocket} from "./sockets.js";

/** @typedef {import("./types.js").QueueStatus} QueueStatus */

/**
 * @typedef {"joining" | "waiting" | "active" | "none" | "left" | "cleared" | "closed" | "challenge" | "signed-out" | "replaced"} QueueState
 * `none`: not in the queue (any more); `closed`: the event has ended, there is nothing to wait for; `challenge`: solve it
 * and call `join(solution)`; `replaced`: too many tabs, another one goes on
 */

/**
 * @typedef {object} QueueView what to show
 * @property {QueueState} state
 * @property {number | null} position 1 for the next; null before a draw
 * @property {number} queueSize
 * @property {number | null} estimatedWait seconds
 * @property {[number, number | null] | null} estimatedWaitRange seconds; the upper bound is null if there is none
 * @property {boolean} estimateIsMeasured if not, the wait is "at least" so long
 * @property {boolean} isPaused
 * @property {boolean} isAdmitting
 * @property {string | null} opensAt when the draw is held, until then
 * @property {string | null} passExpiresAt when the admission ends
 * @property {boolean} isLive whether the socket is connected; if not, the view is some seconds old
 */

/**
 * @typedef {object} QueueEvents
 * @property {QueueView} change whenever the view changes
 * @property {QueueView} admitted once for each admission
 * @property {any} message any other message for this visitor, such as `waitlist-offered`
 * @property {Error} error a request that failed; the next one follows by itself
 */

/**
 * @typedef {object} QueueFeedOptions
 * @property {import("./client.js").TicketClient} client
 * @property {string} eventId
 * @property {string} url of the socket
 * @property {typeof WebSocket} [WebSocket]
 * @property {number} [pollMs] without a socket: 5,000
 * @property {number} [refreshMs] with one, while waiting, for what only the status has (the estimate's band): 10,000
 * @property {number} [heartbeatMs] without a socket, once admitted: 60,000
 * @property {number} [baseMs] see `ReconnectingSocket`
 */

const NOBODY = {
    position: null, queueSize: 0, estimatedWait: null, estimatedWaitRange: null, estimateIsMeasured: false, isPaused: false,
    isAdmitting: true, opensAt: null, passExpiresAt: null,
}; // prettier-ignore

/** @extends {Emitter<QueueEvents>} */
export class QueueFeed extends Emitter {
    /** @param {QueueFeedOptions} options */
    constructor(options) {
        super();
        this.options = {pollMs: 5_000, refreshMs: 10_000, heartbeatMs: 60_000, ...options};
        this.client = options.client;
        this.eventId = options.eventId;
        /** @type {QueueView} */
        this.view = {state: "none", isLive: false, ...NOBODY};
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
        this.isOn = false;
        this.asked = 0; // so that an answer that was overtaken is not shown
        const {http} = options.client;
        this.socket = new ReconnectingSocket({
            url: options.url,
            token: () => http.token(),
            renew: () => http.renew(),
            WebSocket: options.WebSocket,
            baseMs: options.baseMs,
            onMessage: (message) => this.receive(message),
            onState: (state, reason) => this.socketChanged(state, reason),
        });
    }

    /**
     * Checks in, and follows the queue until `leave` or `stop`. Again, after the state was `none`, `cleared` or `challenge`.
     *
     * @param {string} [challengeResponse] what solves the join challenge
     */
    async join(challengeResponse) {
        this.isOn = true;
        this.change({state: this.isIn() ? this.view.state : "joining"});
        await this.ask(() => this.client.checkIn(this.eventId, {challengeResponse}));
    }

    /** Follows without checking in: where this visitor is, from another page or tab. */
    async follow() {
        this.isOn = true;
        await this.ask(() => this.client.queueStatus(this.eventId));
    }

    /** Gives the place up. Nothing is followed any more, even if the service cannot be told. */
    async leave() {
        this.stop();
        this.change({...NOBODY, state: "left"});
        await this.client.leaveQueue(this.eventId);
    }

    /** Stops following. The place stays, as long as the service keeps it for somebody silent. */
    stop() {
        this.isOn = false;
        this.asked++;
        clearTimeout(this.timer);
        this.socket.stop();
    }

    isIn() {
        return this.view.state === "waiting" || this.view.state === "active";
    }

    // --- Requests ---

    /** @param {() => Promise<QueueStatus>} call */
    async ask(call) {
        const asked = ++this.asked;
        try {
            const status = await call();
            if (asked === this.asked) this.take(status);
        } catch (error) {
            if (asked === this.asked) this.failed(error);
        }
        if (asked === this.asked && this.isOn) this.plan();
    }

    /** @param {QueueStatus} status */
    take(status) {
        const {state, position, queueSize, estimatedWait, estimatedWaitRange} = status;
        this.change({
            state: state === "none" && this.view.state === "cleared" ? "cleared" : state,
            position: state === "waiting" ? (position ?? null) : null,
            queueSize,
            estimatedWait: estimatedWait ?? null,
            estimatedWaitRange: estimatedWaitRange ?? null,
            estimateIsMeasured: status.estimateIsMeasured ?? false,
            isPaused: status.isPaused ?? false,
            isAdmitting: status.isAdmitting ?? true,
            opensAt: status.opensAt ?? null,
            passExpiresAt: status.passExpiresAt ?? null,
        });
    }

    /** @param {unknown} error */
    failed(error) {
        if (error instanceof ChallengeRequired) this.end("challenge");
        else if (error instanceof SignedOut) this.end("signed-out");
        else if (error instanceof ApiError && error.code === "QUEUE_CLOSED") this.end("closed");
        else if (error instanceof ApiError && error.status === 404) this.end("none");
        this.emit("error", /** @type {Error} */ (error));
    }

    /** The socket while there is a place to keep, and the next request. */
    plan() {
        clearTimeout(this.timer);
        const {pollMs, refreshMs, heartbeatMs} = this.options;
        const {state, isLive} = this.view;
        if (state === "waiting" || state === "active") this.socket.start();
        if (state === "joining") this.timer = setTimeout(() => this.join(), pollMs * (0.8 + 0.4 * Math.random()));
        if (state === "waiting") this.refreshIn(isLive ? refreshMs : pollMs);
        if (state === "active") this.refreshIn(heartbeatMs); // with a socket, too: it says when the admission ends
    }

    /** @param {number} milliseconds */
    refreshIn(milliseconds) {
        const refresh = () => this.ask(() => this.client.heartbeat(this.eventId));
        this.timer = setTimeout(refresh, milliseconds * (0.8 + 0.4 * Math.random()));
    }

    // --- The socket ---

    /** @param {any} message */
    receive(message) {
        this.client.passes.keep(this.eventId, message);
        switch (message.type) {
            case "queue-position":
                return this.positioned(message);
            case "queue-updated":
                return this.change({queueSize: message.queueSize, isLive: true});
            case "queue-entry-allowed":
                this.asked++; // an answer from before is outdated
                this.change({...NOBODY, state: "active", passExpiresAt: message.expiresAt, isLive: true});
                return this.plan();
            case "queue-cleared":
                this.client.passes.forget(this.eventId);
                this.asked++;
                return this.end("cleared");
            default:
                return this.emit("message", message);
        }
    }

    /** @param {any} message */
    positioned({state, position, queueSize, estimatedWait, expiresAt}) {
        const {state: before, isLive: wasLive} = this.view;
        if (state === "none" && before === "joining") return; // the check is under way
        const passExpiresAt = state === "active" ? (expiresAt ?? this.view.passExpiresAt) : null;
        this.change({state, position: state === "waiting" ? position : null, queueSize, estimatedWait, passExpiresAt, isLive: true});
        if (state !== before || !wasLive) this.plan();
    }

    /**
     * @param {import("./sockets.js").SocketState} state
     * @param {string} reason
     */
    socketChanged(state, reason) {
        if (state === "open") return; // a refused one is opened, too
        this.change({isLive: false});
        if (!this.isOn) return;
        if (state === "waiting") this.plan();
        if (state === "stopped" && reason === "replaced") this.end("replaced");
        if (state === "stopped" && reason === "signed-out") this.end("signed-out");
    }

    // --- The view ---

    /** @param {QueueState} state one after which nothing is followed */
    end(state) {
        this.isOn = false;
        clearTimeout(this.timer);
        this.socket.stop();
        this.change({...NOBODY, state, isLive: false});
    }

    /** @param {Partial<QueueView>} changed */
    change(changed) {
        const before = this.view;
        const view = {...before, ...changed};
        if (JSON.stringify(view) === JSON.stringify(before)) return;
        this.view = view;
        this.emit("change", view);
        if (view.state === "active" && before.state !== "active") this.emit("admitted", view);
    }
}
