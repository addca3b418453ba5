// Subscription to an event's seat map: a snapshot, then versioned changes over a WebSocket. The snapshot is fetched again
// when a version is missing, and polled while there is no connection.

const POLL_MS = 5000;
const MAX_RECONNECT_MS = 30000;
const MIN_FETCH_INTERVAL_MS = 500;

export class SeatMapSubscription {
    // `urls`: {map, socket}. `handlers`: map(snapshot or null), seat(id, status), stock(message), status(message),
    // connection("connecting" | "live" | "polled" | "lost").
    constructor(urls, handlers) {
        this.urls = urls;
        this.handlers = handlers;
        this.version = -1; // of the map that is shown
        this.latestVersion = -1; // that the server is known to have
        this.pending = []; // changes that arrived while a snapshot was being fetched
        this.isFetching = false;
        this.isLive = false;
        this.hasMap = true;
        this.attempts = 0;
    }

    start() {
        this.handlers.connection("connecting");
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
            this.handlers.connection("polled");
            return;
        }
        socket.onmessage = (event) => {
            for (const message of unpack(JSON.parse(event.data))) this.handleMessage(message);
        };
        socket.onclose = () => {
            this.isLive = false;
            this.handlers.connection("polled");
            const delay = Math.min(MAX_RECONNECT_MS, 1000 * 2 ** this.attempts++) * (0.5 + Math.random());
            setTimeout(() => this.connect(), delay);
        };
    }

    handleMessage(message) {
        switch (message.type) {
            case "hello": // sent again after the server dropped messages
                this.isLive = true;
                this.attempts = 0;
                this.handlers.connection("live");
                this.latestVersion = message.version;
                if (message.version > this.version) this.fetchMap();
                break;
            case "seat-locked":
            case "seat-released":
            case "seat-sold":
                this.applyChange(message);
                break;
            case "ticket-updated":
                this.handlers.stock(message);
                break;
            case "event-status-changed":
                this.handlers.status(message);
                break;
        }
    }

    applyChange(message) {
        if (!this.hasMap) return;
        if (this.isFetching) {
            this.pending.push(message);
        } else if (message.version === this.version + 1) {
            this.version = message.version;
            this.handlers.seat(message.seatId, message.status);
        } else if (message.version > this.version) {
            this.pending.push(message);
            this.fetchMap();
        }
    }

    async fetchMap() {
        if (this.isFetching || !this.hasMap) return;
        this.isFetching = true;
        try {
            const response = await fetch(this.urls.map, {cache: "no-cache"});
            if (response.ok) {
                const version = Number(response.headers.get("Seat-Map-Version"));
                if (version !== this.version) this.handlers.map(await response.json());
                this.version = version;
            } else if (response.status === 404) {
                this.hasMap = false;
                this.handlers.map(null);
            }
            if (!this.isLive) this.handlers.connection("polled");
        } catch {
            if (!this.isLive) this.handlers.connection("lost");
        }
        if (this.pending.length) await new Promise((resolve) => setTimeout(resolve, MIN_FETCH_INTERVAL_MS));
        this.isFetching = false;
        const pending = this.pending;
        this.pending = [];
        for (const message of pending) this.applyChange(message);
        const isBehind = this.version < this.latestVersion;
        if (this.isLive && this.hasMap && isBehind) setTimeout(() => this.fetchMap(), MIN_FETCH_INTERVAL_MS);
    }
}

function unpack(message) {
    return message.type === "batch" ? message.messages : [message];
}
