// Solves the waiting room's join challenge of the type `proof-of-work` (ALTCHA, version 2; docs/rate-limits.md): finds a counter
// whose derived key begins as the challenge says. Some half a second of work, off the main thread.

const BATCH = 16; // derivations at a time: the browser has several threads for them

/**
 * @param {any} challenge as `GET /queue/challenge/:eventId` has it
 * @returns {Promise<string>} for the header `Challenge-Response`; throws if this is not such a challenge, or not a secure page
 */
export async function solve(challenge) {
    const {algorithm, cost, keyLength, keyPrefix, nonce, salt} = challenge.parameters;
    if (!algorithm.startsWith("PBKDF2/")) throw new Error(algorithm);
    const settings = {name: "PBKDF2", hash: algorithm.slice("PBKDF2/".length), salt: bytes(salt), iterations: cost};
    for (let first = 0; ; first += BATCH) {
        const counters = Array.from({length: BATCH}, (_, index) => first + index);
        const keys = await Promise.all(
            counters.map((counter) => derive(settings, password(bytes(nonce), counter), keyLength)),
        );
        const found = keys.findIndex((key) => key.startsWith(keyPrefix.toLowerCase()));
        if (found < 0) continue;
        const solution = {counter: counters[found], derivedKey: keys[found]};
        return btoa(JSON.stringify({challenge, solution}));
    }
}

async function derive(settings, secret, length) {
    const key = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
    const derived = new Uint8Array(await crypto.subtle.deriveBits(settings, key, length * 8));
    return Array.from(derived, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The nonce, and the counter as four bytes, the highest first. */
function password(nonce, counter) {
    const joined = new Uint8Array(nonce.length + 4);
    joined.set(nonce);
    new DataView(joined.buffer).setUint32(nonce.length, counter);
    return joined;
}

function bytes(hexadecimal) {
    return Uint8Array.from(hexadecimal.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
