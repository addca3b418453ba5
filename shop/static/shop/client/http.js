// Requests: the token and its renewal, errors as objects, time limits, and repetition where that is safe.

import {ApiError, NetworkError, SignedOut, errorOf} from "./errors.js";
import {backoff, sleep} from "./timing.js";

const RENEW_BEFORE_MS = 30_000;
const REPEATED_STATUSES = new Set([429, 502, 503, 504]);

/**
 * @typedef {object} HttpOptions
 * @property {string} [base] the address of the API, without a slash at the end; by default that of the page
 * @property {() => string | null | Promise<string | null>} [token] the buyer's token. Leave it out where a cookie signs in
 * @property {() => unknown} [renew] gets a new token (or cookie); what it returns is true if there is one. Called once for
 *     all requests that need it, when the token is about to end or was refused
 * @property {typeof fetch} [fetch]
 * @property {RequestCredentials} [credentials] `same-origin` by default
 * @property {number} [timeoutMs] of one attempt: 10,000
 * @property {number} [retries] how often a request is repeated that may be repeated: 3
 * @property {number} [maxWaitMs] the longest `Retry-After` that is waited for; a longer one is thrown: 5,000
 * @property {number} [retryBaseMs] before the first repetition, without a `Retry-After`: 500
 */

/**
 * @typedef {object} RequestOptions
 * @property {Record<string, string | number | boolean | null | undefined>} [query] without those that are null or undefined
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string | null | undefined>} [headers]
 * @property {string} [idempotencyKey] makes a POST repeatable
 * @property {boolean} [repeatable] whether saying it twice is as saying it once; true for a GET
 * @property {RequestCache} [cache]
 * @property {AbortSignal} [signal]
 */

/** @typedef {{data: any, headers: Headers, status: number}} Answer */

export class Http {
    /** @param {HttpOptions} [options] */
    constructor(options = {}) {
        this.options = {timeoutMs: 10_000, retries: 3, maxWaitMs: 5_000, retryBaseMs: 500, ...options};
        this.base = (options.base ?? "").replace(/\/$/, "");
        this.fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
        this.renewals = 0;
        /** @type {Promise<boolean> | null} */
        this.renewing = null;
    }

    /**
     * @param {string} method
     * @param {string} path
     * @param {RequestOptions} [options]
     * @returns {Promise<Answer>} throws NetworkError, ApiError or what `signal` was aborted with
     */
    async request(method, path, options = {}) {
        const isRepeatable = options.repeatable ?? (method === "GET" || options.idempotencyKey !== undefined);
        let hasRenewed = false;
        for (let attempt = 0; ; ) {
            const renewals = this.renewals;
            try {
                return await this.attempt(method, path, options);
            } catch (error) {
                if (error instanceof SignedOut && !hasRenewed && (await this.hasRenewedSince(renewals))) {
                    hasRenewed = true;
                    continue;
                }
                const wait = isRepeatable && attempt < this.options.retries ? this.pauseAfter(error, attempt) : null;
                if (wait === null) throw error;
                attempt++;
                await sleep(wait, options.signal);
            }
        }
    }

    /**
     * The token to send, renewed before it ends.
     *
     * @returns {Promise<string | null>}
     */
    async token() {
        const token = (await this.options.token?.()) ?? null;
        const ends = token && this.options.renew ? endOf(token) : null;
        if (ends === null || ends - Date.now() > RENEW_BEFORE_MS) return token;
        await this.renew();
        return (await this.options.token?.()) ?? null;
    }

    /**
     * Asks for a new token; all who ask meanwhile share the answer.
     *
     * @returns {Promise<boolean>} whether there is one
     */
    renew() {
        const {renew} = this.options;
        if (!renew) return Promise.resolve(false);
        this.renewing ??= (async () => {
            try {
                const isRenewed = Boolean(await renew());
                if (isRenewed) this.renewals++;
                return isRenewed;
            } catch {
                return false;
            } finally {
                this.renewing = null;
            }
        })();
        return this.renewing;
    }

    /** @param {number} renewals how many there had been when the token was read that was refused */
    async hasRenewedSince(renewals) {
        return this.renewals > renewals || this.renew();
    }

    /**
     * @param {unknown} error
     * @param {number} attempt
     * @returns {number | null} ms until the next attempt; null: there is none
     */
    pauseAfter(error, attempt) {
        const pause = backoff(attempt, {baseMs: this.options.retryBaseMs});
        if (error instanceof NetworkError) return pause;
        const isBusy = error instanceof ApiError && (REPEATED_STATUSES.has(error.status) || error.code === "REQUEST_IN_PROGRESS");
        if (!isBusy) return null;
        if (error.retryAfterMs === null) return pause;
        // A little later than asked, each client by another time.
        return error.retryAfterMs > this.options.maxWaitMs ? null : error.retryAfterMs + pause / 2;
    }

    /**
     * @param {string} method
     * @param {string} path
     * @param {RequestOptions} options
     * @returns {Promise<Answer>}
     */
    async attempt(method, path, options) {
        const limit = new AbortController();
        const timer = setTimeout(() => limit.abort(), this.options.timeoutMs);
        const stop = () => limit.abort();
        options.signal?.throwIfAborted();
        options.signal?.addEventListener("abort", stop);
        try {
            const response = await this.fetch(this.address(path, options.query), {
                method,
                headers: await this.headers(options),
                body: options.body === undefined ? undefined : JSON.stringify(options.body),
                cache: options.cache,
                credentials: this.options.credentials ?? "same-origin",
                signal: limit.signal,
            });
            const data = await jsonOf(response);
            if (!response.ok) throw errorOf(response, data);
            return {data, headers: response.headers, status: response.status};
        } catch (error) {
            if (error instanceof ApiError) throw error;
            options.signal?.throwIfAborted();
            throw new NetworkError(`${method} ${path}: no answer`, {cause: error});
        } finally {
            clearTimeout(timer);
            options.signal?.removeEventListener("abort", stop);
        }
    }

    /** @param {RequestOptions} options */
    async headers(options) {
        const token = await this.token();
        /** @type {Record<string, string>} */
        const headers = {Accept: "application/problem+json, application/json"}; // so that every error has its code
        if (token) headers.Authorization = `Bearer ${token}`;
        if (options.body !== undefined) headers["Content-Type"] = "application/json";
        if (options.idempotencyKey) headers["Idempotency-Key"] = options.idempotencyKey;
        for (const [name, value] of Object.entries(options.headers ?? {})) if (value) headers[name] = value;
        return headers;
    }

    /**
     * @param {string} path
     * @param {RequestOptions["query"]} query
     */
    address(path, query = {}) {
        const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
        const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
        return `${this.base}${path}${search ? `?${search}` : ""}`;
    }
}

/** @param {Response} response */
async function jsonOf(response) {
    const text = await response.text();
    try {
        return text ? JSON.parse(text) : null;
    } catch (error) {
        if (response.ok) throw error; // cut off, or not ours
        return null; // a proxy's page
    }
}

/**
 * @param {string} token
 * @returns {number | null} when a JWT ends, in ms; null if that cannot be read
 */
function endOf(token) {
    try {
        const {exp} = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
        return typeof exp === "number" ? exp * 1000 : null;
    } catch {
        return null;
    }
}

/** @returns {string} a new idempotency key, also where a page is not served over TLS */
export function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
