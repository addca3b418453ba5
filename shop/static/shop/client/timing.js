// Waiting: with jitter, so that a crowd that was disconnected at one moment does not come back at one moment.

/**
 * @param {number} attempt 0 for the first
 * @param {{baseMs?: number, maxMs?: number}} [options]
 * @returns {number} ms: between a half and the whole of a time that doubles with each attempt
 */
export function backoff(attempt, {baseMs = 500, maxMs = 30_000} = {}) {
    return Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2);
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>} rejected with the signal's reason when it is aborted
 */
export function sleep(milliseconds, signal) {
    return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", stop);
            resolve();
        }, milliseconds);
        const stop = () => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        signal?.addEventListener("abort", stop, {once: true});
    });
}
