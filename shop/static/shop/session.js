// The buyer of this tab. The token is in a cookie that no script can read; here is only what the service says about it.
//
// With demo buyers (development only) each tab is a person of its own: the tab remembers a number, and sends it with each
// request, and the service takes that buyer's cookie.

import {config} from "./config.js";

const RENEW_BEFORE_SECONDS = 60;
const MAX_BUYER = 99;

class Session {
    constructor() {
        this.buyer = config.hasDemoBuyers ? buyerOfThisTab() : 0;
        this.timer = 0;
        /** The user, or null. */
        this.ready = this.load();
    }

    /** To send with each request. */
    headers() {
        return this.buyer ? {"Shop-Buyer": String(this.buyer)} : {};
    }

    /** To append to the address of a socket, which has no headers. */
    query() {
        return this.buyer ? `?buyer=${this.buyer}` : "";
    }

    async load() {
        let state = await this.call("GET", "/shop/session");
        if (!state?.user && this.buyer && (await this.signInAsBuyer())) state = await this.call("GET", "/shop/session");
        return this.take(state);
    }

    /** A new token before the old one ends, or after it was refused. True if there is one. */
    async renew() {
        if (this.buyer) return this.signInAsBuyer();
        // One tab renews for all: a token that renews can be used only once.
        const state = await locked("shop-renew", async () => {
            const current = await this.call("GET", "/shop/session");
            const isFresh = current?.user && current.expiresInSeconds > RENEW_BEFORE_SECONDS;
            return isFresh || !current?.canRenew ? current : this.call("POST", "/shop/session/renew");
        });
        return Boolean(this.take(state));
    }

    take(state) {
        clearTimeout(this.timer);
        if (state?.user && state.canRenew) {
            const seconds = Math.max(5, state.expiresInSeconds - RENEW_BEFORE_SECONDS);
            this.timer = setTimeout(() => this.renew(), Math.min(seconds * 1000, 2 ** 31 - 1));
        }
        return state?.user ?? null;
    }

    async signInAsBuyer() {
        return Boolean(await this.call("POST", "/shop/demo/buyers", {buyer: this.buyer}));
    }

    /** Another demo buyer, in this tab. */
    become(buyer) {
        sessionStorage.clear(); // passes and choices are somebody else's
        sessionStorage.setItem("shop-buyer", String(buyer));
        location.reload();
    }

    demoName() {
        const names = config.demoNames;
        const round = Math.floor((this.buyer - 1) / names.length);
        return names[(this.buyer - 1) % names.length] + (round ? ` ${round + 1}` : "");
    }

    async signOut() {
        await this.call("POST", "/shop/session/logout");
        sessionStorage.clear();
        location.assign("/");
    }

    async call(method, path, body) {
        const headers = {...this.headers(), ...(body ? {"Content-Type": "application/json"} : {})};
        try {
            const response = await fetch(path, {method, headers, body: body && JSON.stringify(body), cache: "no-store"});
            return response.ok ? await response.json() : null;
        } catch {
            return null;
        }
    }
}

function buyerOfThisTab() {
    const own = Number(sessionStorage.getItem("shop-buyer"));
    if (own) return own;
    // By chance, since another browser beside this one is somebody else, too; and nobody who was here before.
    const before = new Set(JSON.parse(localStorage.getItem("shop-buyers") ?? "[]").slice(-MAX_BUYER / 2));
    let next = 0;
    while (!next || before.has(next)) next = 1 + Math.floor(Math.random() * MAX_BUYER);
    localStorage.setItem("shop-buyers", JSON.stringify([...before, next]));
    sessionStorage.setItem("shop-buyer", String(next));
    return next;
}

function locked(name, call) {
    return navigator.locks ? navigator.locks.request(name, call) : call();
}

export const session = new Session();
