// A WebSocket that comes back: with growing, jittered pauses, at the time that the service names, and never where it makes no sense.

import {backoff} from "./timing.js";

/** Close codes after which another attempt would get the same answer (docs/live.md). */
const FINAL_CODES = new Map([
    [4400, "malformed"],
    [4404, "not-found"],
    [4409, "replaced"],
    [1009, "frame-too-big"],
]);
const NEEDS_TOKEN = 4401;
const SLOW_DOWN = new Set([4429, 1008]);
const RETRY_LATER = 1013;

/**
 * @typedef {"connecting" | "open" | "waiting" | "stopped"} SocketState
 * `waiting`: disconnected, until the next attempt
 */

/**
 * @typedef {object} SocketOptions
 * @property {string} url
 * @property {() => Promise<string | null>} [token] sent as `Sec-WebSocket-Protocol: bearer, <token>`
 * @property {() => Promise<boolean>} [renew] called once when the token was refused
 * @property {(message: any) => void} onMessage each message; those of a `batch` one by one
 * @property {() => void} [onFrame] after the messages of each frame
 * @property {(state: SocketState, reason: string) => void} [onState]
 * @property {typeof WebSocket} [WebSocket]
 * @property {number} [baseMs] before the first attempt to reconnect: 500
 * @property {number} [maxMs] the longest pause: 30,000
 */

export class ReconnectingSocket {
    /** @param {SocketOptions} options */
    constructor(options) {
        this.options = options;
        this.WebSocket = options.WebSocket ?? globalThis.WebSocket;
        /** @type {WebSocket | null} */
        this.socket = null;
        /** @type {SocketState} */
        this.state = "stopped";
        this.attempts = 0;
        this.hasRenewed = false;
        /** @type {number | null} */
        this.retryAfterMs = null;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
        this.wake = () => this.state === "waiting" && this.connect();
    }

    start() {
        if (this.state !== "stopped") return;
        globalThis.addEventListener?.("online", this.wake);
        this.connect();
    }

    stop(reason = "stopped") {
        globalThis.removeEventListener?.("online", this.wake);
        clearTimeout(this.timer);
        this.abandon();
        this.setState("stopped", reason);
    }

    /** Gives this connection up for another, because it seems to be dead. */
    restart() {
        if (this.state !== "open") return;
        this.abandon();
        this.reconnect("restarted");
    }

    async connect() {
        clearTimeout(this.timer);
        this.setState("connecting", "");
        this.retryAfterMs = null;
        /** @type {WebSocket} */
        let socket;
        try {
            const token = await this.options.token?.();
            if (this.state !== "connecting") return; // stopped meanwhile
            socket = token ? new this.WebSocket(this.options.url, ["bearer", token]) : new this.WebSocket(this.options.url);
        } catch {
            if (this.state === "connecting") this.reconnect("failed");
            return;
        }
        this.socket = socket;
        socket.onopen = () => this.setState("open", "");
        socket.onmessage = (event) => this.receive(event.data);
        const closed = (/** @type {number} */ code) => this.socket === socket && this.closed(code);
        socket.onclose = (event) => closed(event.code);
        socket.onerror = () => closed(1006); // Node says no more than this of a handshake that has failed
    }

    /** @param {string} text */
    receive(text) {
        let frame;
        try {
            frame = JSON.parse(text);
        } catch {
            return; // not one of ours
        }
        this.attempts = 0; // a connection that is refused is opened, too: only a message shows that it is welcome
        const messages = frame.type === "batch" ? frame.messages : [frame];
        for (const message of messages) {
            if (message.type === "retry") this.retryAfterMs = message.afterMs;
            else this.options.onMessage(message);
        }
        if (frame.type !== "retry") this.hasRenewed = false;
        this.options.onFrame?.();
    }

    /** @param {number} code */
    async closed(code) {
        this.socket = null;
        const final = FINAL_CODES.get(code);
        if (final) return this.stop(final);
        if (code === NEEDS_TOKEN) {
            const mayRenew = this.options.renew && !this.hasRenewed;
            this.hasRenewed = true;
            this.setState("connecting", "renewing");
            if (!mayRenew || !(await this.options.renew?.())) return this.stop("signed-out");
            if (this.state === "connecting") this.connect();
            return;
        }
        this.reconnect(String(code), SLOW_DOWN.has(code) ? 10_000 : code === RETRY_LATER ? 2_000 : 0);
    }

    /**
     * @param {string} reason
     * @param {number} [atLeastMs]
     */
    reconnect(reason, atLeastMs = 0) {
        const {baseMs = 500, maxMs = 30_000} = this.options;
        const pause = this.retryAfterMs ?? atLeastMs + backoff(this.attempts++, {baseMs, maxMs});
        this.setState("waiting", reason);
        this.timer = setTimeout(() => this.connect(), pause);
    }

    abandon() {
        const {socket} = this;
        this.socket = null;
        if (!socket) return;
        socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
        socket.close();
    }

    /**
     * @param {SocketState} state
     * @param {string} reason
     */
    setState(state, reason) {
        this.state = state;
        this.options.onState?.(state, reason);
    }
}
