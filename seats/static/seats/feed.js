// What changes on an event's seat map: a snapshot, then numbered changes over a socket. Where a number is missing, or
// there is no socket, the snapshot is fetched again.

const POLL_MS = 5000;
const MAX_PAUSE_MS = 30000;
const BETWEEN_FETCHES_MS = 500;

export class Feed {
    // `heard` has: map(snapshot or null), seat(id, status), stock(message), status(message), state("live"|"polled"|...)
    constructor(urls, heard) {
        this.urls = urls;
        this.heard = heard;
        this.version = -1; // of what is shown
        this.wanted = -1; // the least that it should be
        this.waiting = []; // changes that came while the snapshot was on its way
        this.isFetching = false;
        this.isLive = false;
        this.hasMap = true;
        this.tries = 0;
    }

    start() {
        this.heard.state("connecting");
        this.fetchMap();
        this.connect();
        setInterval(() => {
            if (!this.isLive && !document.hidden) this.fetchMap();
        }, POLL_MS);
        document.addEventListener("visibilitychange", () => {
            if (!document.hidden && !this.isLive) this.fetchMap();
        });
    }

    connect() {
        let socket;
        try {
            socket = new WebSocket(this.urls.socket);
        } catch {
            this.heard.state("polled");
            return;
        }
        socket.onmessage = (event) => {
            for (const message of flat(JSON.parse(event.data))) this.hear(message);
        };
        socket.onclose = () => {
            this.isLive = false;
            this.heard.state("polled");
            const pause = Math.min(MAX_PAUSE_MS, 1000 * 2 ** this.tries++) * (0.5 + Math.random());
            setTimeout(() => this.connect(), pause);
        };
    }

    hear(message) {
        switch (message.type) {
            case "hello": // again: something was missed
                this.isLive = true;
                this.tries = 0;
                this.heard.state("live");
                this.wanted = message.version;
                if (message.version > this.version) this.fetchMap();
                break;
            case "seat-locked":
            case "seat-released":
            case "seat-sold":
                this.change(message);
                break;
            case "ticket-updated":
                this.heard.stock(message);
                break;
            case "event-status-changed":
                this.heard.status(message);
                break;
        }
    }

    change(message) {
        if (!this.hasMap) return;
        if (this.isFetching) {
            this.waiting.push(message);
        } else if (message.version === this.version + 1) {
            this.version = message.version;
            this.heard.seat(message.seatId, message.status);
        } else if (message.version > this.version) {
            this.waiting.push(message);
            this.fetchMap();
        }
    }

    async fetchMap() {
        if (this.isFetching || !this.hasMap) return;
        this.isFetching = true;
        try {
            const answer = await fetch(this.urls.map, {cache: "no-cache"});
            if (answer.ok) {
                const version = Number(answer.headers.get("Seat-Map-Version"));
                if (version !== this.version) this.heard.map(await answer.json());
                this.version = version;
            } else if (answer.status === 404) {
                this.hasMap = false;
                this.heard.map(null);
            }
            if (!this.isLive) this.heard.state("polled");
        } catch {
            if (!this.isLive) this.heard.state("lost");
        }
        if (this.waiting.length) await new Promise((go) => setTimeout(go, BETWEEN_FETCHES_MS));
        this.isFetching = false;
        const waiting = this.waiting;
        this.waiting = [];
        for (const message of waiting) this.change(message);
        if (this.isLive && this.hasMap && this.version < this.wanted) setTimeout(() => this.fetchMap(), BETWEEN_FETCHES_MS);
    }
}

function flat(message) {
    return message.type === "batch" ? message.messages : [message];
}
