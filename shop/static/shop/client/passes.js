// Queue passes and tickets: what makes a visitor independent of what the service remembers (docs/waiting-room.md).

const PREFIX = "ticketservice:queue:";

/**
 * @typedef {object} Held
 * @property {string} [pass] proves an admission
 * @property {string | null} [passExpiresAt]
 * @property {string} [ticket] proves a position
 */

/** The newest pass and ticket of one user for each event. */
export class Passes {
    /** @param {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} [storage] where they outlive the page; null: nowhere */
    constructor(storage = sessionStorageIfAny()) {
        this.storage = storage;
        /** @type {Map<string, Held>} */
        this.held = new Map();
    }

    /** @param {string} eventId @returns {Held} */
    of(eventId) {
        const known = this.held.get(eventId) ?? this.stored(eventId);
        this.held.set(eventId, known);
        return known;
    }

    /**
     * Keeps what a response or a frame of the queue has.
     *
     * @param {string} eventId
     * @param {{pass?: string, passExpiresAt?: string | null, expiresAt?: string | null, ticket?: string}} message
     */
    keep(eventId, {pass, passExpiresAt, expiresAt, ticket}) {
        if (!pass && !ticket) return;
        const held = {...this.of(eventId), ...(pass ? {pass, passExpiresAt: passExpiresAt ?? expiresAt} : {}), ...(ticket ? {ticket} : {})};
        this.held.set(eventId, held);
        try {
            this.storage?.setItem(PREFIX + eventId, JSON.stringify(held));
        } catch {
            // full, or forbidden: they are kept as long as the page
        }
    }

    /** Another user, who has left, or a queue that was cleared. @param {string} eventId */
    forget(eventId) {
        this.held.delete(eventId);
        this.storage?.removeItem(PREFIX + eventId);
    }

    /** @param {string} eventId @returns {Record<string, string | undefined>} */
    headers(eventId) {
        const {pass, ticket} = this.of(eventId);
        return {"Queue-Pass": pass, "Queue-Ticket": ticket};
    }

    /** @param {string} eventId @returns {Held} */
    stored(eventId) {
        try {
            return JSON.parse(this.storage?.getItem(PREFIX + eventId) ?? "{}") ?? {};
        } catch {
            return {};
        }
    }
}

function sessionStorageIfAny() {
    try {
        return globalThis.sessionStorage ?? null;
    } catch {
        return null; // a page without storage
    }
}
