/**
 * Handlers by the name of an event.
 *
 * @template {Record<string, any>} Events what each event's handlers get
 */
export class Emitter {
    constructor() {
        /** @type {Map<keyof Events, Set<(detail: any) => void>>} */
        this.handlers = new Map();
    }

    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(detail: Events[Name]) => void} handler
     * @returns {() => void} removes the handler
     */
    on(name, handler) {
        const handlers = this.handlers.get(name) ?? new Set();
        this.handlers.set(name, handlers.add(handler));
        return () => void handlers.delete(handler);
    }

    /**
     * A handler that fails stops neither the others nor the caller.
     *
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {Events[Name]} detail
     */
    emit(name, detail) {
        for (const handler of this.handlers.get(name) ?? []) {
            try {
                handler(detail);
            } catch (error) {
                queueMicrotask(() => {
                    throw error;
                });
            }
        }
    }
}
