// What can go wrong, as classes. A program decides by the class or the `code` (docs/errors.md lists all codes); `message` is
// the service's own text, in Korean, for a person.

/** Everything that this library throws, but for an `AbortError` of a signal of yours. */
export class TicketError extends Error {
    /** @param {string} message @param {{cause?: unknown}} [options] */
    constructor(message, options) {
        super(message);
        if (options && "cause" in options) this.cause = options.cause;
        this.name = new.target.name;
    }
}

/** No answer: no network, or none within the time limit. Whether the request took effect is not known. */
export class NetworkError extends TicketError {}

/** The service has answered, and said no. */
export class ApiError extends TicketError {
    /** @param {Problem} problem */
    constructor(problem) {
        super(problem.message);
        this.status = problem.status;
        this.code = problem.code;
        /** How long to wait before the next attempt, in ms, if the service says so. @type {number | null} */
        this.retryAfterMs = problem.retryAfterMs;
        /** @type {string | null} */
        this.requestId = problem.requestId;
        /** The JSON of the answer. @type {Record<string, unknown>} */
        this.body = problem.body;
    }
}

/** No token, a bad one, or that of a user who does not exist; renewing did not help. */
export class SignedOut extends ApiError {}
/** The buyer has no admission: check in, and wait. */
export class NotAdmitted extends ApiError {}
/** The waiting room asks for a solution of its join challenge. */
export class ChallengeRequired extends ApiError {}
/** A seat is another buyer's, or closed to this one for a while. `label` is its label, if the service has named it. */
export class SeatConflict extends ApiError {
    /** @param {Problem} problem */
    constructor(problem) {
        super(problem);
        this.label = /\(([^()]+)\)/.exec(problem.message)?.[1] ?? null;
    }
}
/** Too many requests: 429. */
export class RateLimited extends ApiError {}
/** The service, or a part that it needs, does not respond: 502 to 504. */
export class Unavailable extends ApiError {}
/** This service has no such operation: an older one, or the feature is turned off. */
export class NotSupported extends ApiError {}

/**
 * @typedef {object} Problem
 * @property {number} status
 * @property {string} code
 * @property {string} message
 * @property {number | null} retryAfterMs
 * @property {string | null} requestId
 * @property {Record<string, unknown>} body
 */

/** @type {Record<string, new (problem: Problem) => ApiError>} */
const BY_CODE = {
    UNAUTHENTICATED: SignedOut,
    USER_NOT_FOUND: SignedOut,
    INVALID_TOKEN: SignedOut,
    NOT_ADMITTED: NotAdmitted,
    CHALLENGE_REQUIRED: ChallengeRequired,
    CHALLENGE_FAILED: ChallengeRequired,
    SEAT_TAKEN: SeatConflict,
    SEAT_BEING_CHOSEN: SeatConflict,
    SEAT_RECENTLY_RELEASED: SeatConflict,
    RATE_LIMITED: RateLimited,
    NOT_FOUND: NotSupported,
    METHOD_NOT_ALLOWED: NotSupported,
};

/**
 * @param {Response} response one that is not `ok`
 * @param {unknown} body its JSON, or null if it has none
 * @returns {ApiError}
 */
export function errorOf(response, body) {
    const {status, headers} = response;
    const fields = /** @type {Record<string, unknown>} */ (body && typeof body === "object" ? body : {});
    const code = typeof fields.code === "string" ? fields.code : `HTTP_${status}`;
    const text = [fields.detail, fields.message, fields.error].find((one) => typeof one === "string");
    const kind = BY_CODE[code] ?? byStatus(status);
    return new kind({
        status,
        code,
        message: text ? String(text) : response.statusText || code,
        retryAfterMs: retryAfter(headers.get("Retry-After")),
        requestId: typeof fields.requestId === "string" ? fields.requestId : headers.get("X-Request-ID"),
        body: fields,
    });
}

/** @param {number} status */
function byStatus(status) {
    if (status === 429) return RateLimited;
    if (status === 502 || status === 503 || status === 504) return Unavailable;
    if (status === 401) return SignedOut;
    return ApiError;
}

/**
 * @param {string | null} value seconds, or a date
 * @returns {number | null} ms
 */
function retryAfter(value) {
    if (value === null || value.trim() === "") return null;
    const seconds = Number(value);
    const milliseconds = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
    return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : null;
}
