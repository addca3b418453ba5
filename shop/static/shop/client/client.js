// The service's public API, one method for each operation. Each returns the response's own JSON, and throws the classes of
// errors.js. Paths, fields and codes: /api-docs.

import {ApiError, NotSupported} from "./errors.js";
import {Http, newKey} from "./http.js";
import {Passes} from "./passes.js";
import {QueueFeed} from "./queue.js";
import {SeatMapFeed} from "./seat-map.js";

/**
 * @typedef {import("./types.js").EventInList} EventInList
 * @typedef {import("./types.js").TicketType} TicketType
 * @typedef {import("./types.js").QueueStatus} QueueStatus
 * @typedef {import("./types.js").ReservedSeats} ReservedSeats
 * @typedef {import("./types.js").Hold} Hold
 * @typedef {import("./types.js").Waitlist} Waitlist
 */

/**
 * @typedef {object} ClientSettings
 * @property {string} [sockets] the address of the WebSockets (`wss://...`), without a slash at the end; by default that of `base`
 * @property {Passes} [passes] where queue passes are kept: by default in the tab
 * @property {typeof WebSocket} [WebSocket]
 */

/** @typedef {import("./http.js").HttpOptions & ClientSettings} ClientOptions */

/**
 * @typedef {object} ReserveOptions
 * @property {string} [idempotencyKey] of this attempt to buy; a new one by default. Keep it to ask again after a NetworkError:
 *     the seats are not reserved twice
 * @property {AbortSignal} [signal]
 */

export class TicketClient {
    /** @param {ClientOptions} [options] */
    constructor(options = {}) {
        this.options = options;
        this.http = new Http(options);
        this.passes = options.passes ?? new Passes();
    }

    // --- Events ---

    /**
     * @param {{status?: string, q?: string, page?: number, limit?: number, signal?: AbortSignal}} [wanted]
     * @returns {Promise<{events: EventInList[], pagination: {page: number, limit: number, total: number, totalPages: number}}>}
     */
    async events({signal, ...query} = {}) {
        return (await this.http.request("GET", "/events", {query, signal})).data;
    }

    /**
     * Suggestions while somebody types.
     *
     * @param {string} q
     * @param {{signal?: AbortSignal}} [options] abort it when the text has changed
     * @returns {Promise<any>} throws NotSupported where the service has no suggestions
     */
    async suggest(q, {signal} = {}) {
        try {
            return (await this.http.request("GET", "/events/suggest", {query: {q}, signal, repeatable: false})).data;
        } catch (error) {
            // An older service takes `suggest` for the id of an event.
            if (error instanceof ApiError && error.status === 400 && q) throw new NotSupported(error);
            throw error;
        }
    }

    /** @param {string} eventId @returns {Promise<{event: any, ticketTypes: TicketType[]}>} */
    async event(eventId) {
        return (await this.http.request("GET", `/events/${eventId}`)).data;
    }

    /** The terms of a sale: limits, payment, join challenge. @param {string} eventId @returns {Promise<any>} */
    async sale(eventId) {
        return (await this.http.request("GET", `/events/${eventId}/sale`)).data;
    }

    // --- The waiting room ---

    /**
     * @param {string} eventId
     * @param {{challengeResponse?: string, signal?: AbortSignal}} [options]
     * @returns {Promise<QueueStatus>} throws ChallengeRequired
     */
    checkIn(eventId, {challengeResponse, signal} = {}) {
        return this.askQueue("POST", "check", eventId, {"Challenge-Response": challengeResponse}, signal);
    }

    /** @param {string} eventId @returns {Promise<QueueStatus>} */
    queueStatus(eventId) {
        return this.askQueue("GET", "status", eventId);
    }

    /** Keeps the place or the admission alive. @param {string} eventId @returns {Promise<QueueStatus>} */
    heartbeat(eventId) {
        return this.askQueue("POST", "heartbeat", eventId);
    }

    /** @param {string} eventId */
    async leaveQueue(eventId) {
        this.passes.forget(eventId);
        await this.http.request("POST", `/queue/leave/${eventId}`, {repeatable: true});
    }

    /** What a newcomer has to solve. @param {string} eventId @returns {Promise<any>} */
    async challenge(eventId) {
        return (await this.http.request("GET", `/queue/challenge/${eventId}`)).data;
    }

    /**
     * @param {string} eventId
     * @param {{participants?: boolean}} [options]
     * @returns {Promise<any>} the commitment; after the draw the seed, and on demand all participants in order
     */
    async draw(eventId, {participants = false} = {}) {
        const query = {participants: participants ? "all" : undefined};
        return (await this.http.request("GET", `/queue/draw/${eventId}`, {query})).data;
    }

    /**
     * The way through the waiting room, as it changes. Call `join()` on it.
     *
     * @param {string} eventId
     * @param {Partial<import("./queue.js").QueueFeedOptions>} [options]
     */
    queue(eventId, options = {}) {
        const url = `${this.socketBase()}/ws/queue/${eventId}`;
        return new QueueFeed({client: this, eventId, url, WebSocket: this.options.WebSocket, ...options});
    }

    // --- Seats ---

    /**
     * The seat map, as it changes. Call `start()` on it.
     *
     * @param {string} eventId
     * @param {Partial<import("./seat-map.js").SeatMapFeedOptions>} [options]
     */
    seatMap(eventId, options = {}) {
        const url = `${this.socketBase()}/ws/seats/${eventId}`;
        return new SeatMapFeed({http: this.http, eventId, url, WebSocket: this.options.WebSocket, ...options});
    }

    /**
     * @param {{eventId: string, seatIds: string[]}} wanted
     * @param {ReserveOptions} [options]
     * @returns {Promise<ReservedSeats>} throws SeatConflict, NotAdmitted
     */
    async reserveSeats({eventId, seatIds}, options) {
        return (await this.buy("/seats/reserve", {eventId, seatIds}, options)).reservation;
    }

    /**
     * @param {{eventId: string, quantity: number, section?: string, maxPrice?: number, accessible?: boolean}} wanted
     * @param {ReserveOptions} [options]
     * @returns {Promise<ReservedSeats>} throws NotSupported where the service cannot choose seats
     */
    async reserveBestSeats(wanted, options) {
        return (await this.buy("/seats/best-available", wanted, options)).reservation;
    }

    /**
     * Exactly these seats instead of those that a pending reservation has, at most as many.
     *
     * @param {{eventId: string, reservationId: string, seatIds: string[]}} wanted
     * @returns {Promise<ReservedSeats>}
     */
    async changeSeats({eventId, reservationId, seatIds}) {
        const options = {body: {seatIds}, headers: {"Queue-Pass": this.passes.of(eventId).pass}, repeatable: true};
        return (await this.http.request("POST", `/reservations/${reservationId}/seats`, options)).data.reservation;
    }

    // --- Reservations ---

    /**
     * @param {{eventId: string, items: {ticketTypeId: string, quantity: number}[]}} wanted tickets that name no seat
     * @param {ReserveOptions} [options]
     * @returns {Promise<{id: string, reservationNumber: string, totalAmount: number}>}
     */
    async reserveTickets({eventId, items}, options) {
        return (await this.buy("/reservations", {eventId, items}, options)).reservation;
    }

    /** @param {{page?: number, limit?: number}} [wanted] @returns {Promise<{reservations: any[], pagination?: any}>} */
    async myReservations({page, limit} = {}) {
        return (await this.http.request("GET", "/reservations/my", {query: {page, limit}, cache: "no-cache"})).data;
    }

    /** With its deadline and seats. @param {string} reservationId @returns {Promise<any>} */
    async reservation(reservationId) {
        return (await this.http.request("GET", `/seats/reservation/${reservationId}`, {cache: "no-cache"})).data.reservation;
    }

    /** More time to pay. @param {string} reservationId @returns {Promise<Hold>} */
    async extend(reservationId) {
        return (await this.http.request("POST", `/reservations/${reservationId}/extend`, {repeatable: true})).data.reservation;
    }

    /**
     * All of it, or only `items` of a paid one.
     *
     * @param {string} reservationId
     * @param {{items?: ({seatId: string} | {ticketTypeId: string, quantity: number})[], idempotencyKey?: string}} [options]
     * @returns {Promise<{message: string, refundAmount?: number, reservation?: {id: string, totalAmount: number}}>}
     */
    async cancel(reservationId, {items, idempotencyKey = newKey()} = {}) {
        const options = items ? {body: {items}, idempotencyKey} : {};
        return (await this.http.request("POST", `/reservations/${reservationId}/cancel`, options)).data;
    }

    // --- The waiting list ---

    /** Throws NotSupported where there is none, as the other two. @param {string} eventId @returns {Promise<Waitlist>} */
    async waitlist(eventId) {
        return (await this.http.request("GET", `/waitlist/${eventId}`, {cache: "no-cache"})).data.waitlist;
    }

    /**
     * @param {string} eventId
     * @param {{quantity: number, section?: string, ticketTypeId?: string}} wanted
     * @returns {Promise<Waitlist>}
     */
    async joinWaitlist(eventId, wanted) {
        return (await this.http.request("POST", `/waitlist/${eventId}`, {body: wanted})).data.waitlist;
    }

    /** @param {string} eventId */
    async leaveWaitlist(eventId) {
        await this.http.request("POST", `/waitlist/${eventId}/leave`, {repeatable: true});
    }

    // --- Parts ---

    /**
     * @param {string} method
     * @param {string} operation
     * @param {string} eventId
     * @param {Record<string, string | undefined>} [headers]
     * @param {AbortSignal} [signal]
     * @returns {Promise<QueueStatus>}
     */
    async askQueue(method, operation, eventId, headers = {}, signal = undefined) {
        const options = {headers: {...this.passes.headers(eventId), ...headers}, repeatable: true, signal};
        const {data} = await this.http.request(method, `/queue/${operation}/${eventId}`, options);
        this.passes.keep(eventId, data);
        return data;
    }

    /**
     * @param {string} path
     * @param {{eventId: string, [field: string]: unknown}} body
     * @param {ReserveOptions} [options]
     */
    async buy(path, body, {idempotencyKey = newKey(), signal} = {}) {
        const headers = {"Queue-Pass": this.passes.of(body.eventId).pass};
        return (await this.http.request("POST", path, {body, headers, idempotencyKey, signal})).data;
    }

    socketBase() {
        if (this.options.sockets !== undefined) return this.options.sockets.replace(/\/$/, "");
        return new URL(this.http.base || "/", globalThis.location?.href).href.replace(/^http/, "ws").replace(/\/$/, "");
    }
}
