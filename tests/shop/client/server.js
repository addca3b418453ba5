// A server that says what a test tells it to: HTTP, and WebSockets as far as the client needs them (RFC 6455).

import {createHash} from "node:crypto";
import {createServer} from "node:http";

export const EVENT = "e0e00000-0000-4000-8000-000000000001";

/**
 * `routes`: by "METHOD /path" a function of (request, how often it was asked before) that returns {status, headers, body}, or
 * null to break the connection, or a promise of either. What has no route is a 404, as the service has it.
 */
export async function serve(routes = {}) {
    const server = new ScriptedServer(routes);
    await new Promise((resolve) => server.http.listen(0, "127.0.0.1", resolve));
    return server;
}

class ScriptedServer {
    constructor(routes) {
        this.routes = routes;
        this.requests = [];
        this.sockets = [];
        this.waiting = [];
        this.http = createServer((request, response) => this.answer(request, response));
        this.http.on("upgrade", (request, stream) => this.accept(request, stream));
    }

    get base() {
        return `http://127.0.0.1:${this.http.address().port}`;
    }

    /** The requests of a route. */
    asked(route) {
        return this.requests.filter((request) => request.route === route);
    }

    async answer(incoming, response) {
        let text = "";
        for await (const part of incoming) text += part;
        const path = incoming.url.split("?")[0];
        const route = `${incoming.method} ${path}`;
        const request = {route, url: incoming.url, headers: incoming.headers, body: text ? JSON.parse(text) : undefined};
        const before = this.asked(route).length;
        this.requests.push(request);
        const answer = route in this.routes ? await this.routes[route](request, before) : {status: 404, body: {code: "NOT_FOUND", detail: "Not found"}};
        if (!answer) return incoming.socket.destroy();
        const {status = 200, headers = {}, body = {}} = answer;
        response.writeHead(status, {"Content-Type": "application/json", Connection: "close", ...headers});
        response.end(typeof body === "string" ? body : JSON.stringify(body));
    }

    accept(request, stream) {
        const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((one) => one.trim()).filter(Boolean);
        const key = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
        const head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${key}`];
        if (protocols.length) head.push(`Sec-WebSocket-Protocol: ${protocols[0]}`);
        stream.write(`${head.join("\r\n")}\r\n\r\n`);
        const socket = new ScriptedSocket(stream, request.url, protocols);
        this.sockets.push(socket);
        const first = this.waiting.shift();
        if (first) first(socket);
    }

    /** The socket with this number, once it is there. */
    async socket(number) {
        while (this.sockets.length <= number) await new Promise((resolve) => this.waiting.push(resolve));
        return this.sockets[number];
    }

    stop() {
        for (const socket of this.sockets) socket.stream.destroy();
        this.http.closeAllConnections();
        this.http.close();
    }
}

class ScriptedSocket {
    constructor(stream, path, protocols) {
        Object.assign(this, {stream, path, protocols});
        this.isOpen = true;
        stream.on("error", () => undefined);
        stream.on("close", () => (this.isOpen = false));
        stream.on("data", (data) => (data[0] & 15) === 8 && stream.end()); // the client closes
    }

    send(...messages) {
        const frame = messages.length === 1 ? messages[0] : {type: "batch", messages};
        this.write(1, Buffer.from(JSON.stringify(frame)));
    }

    close(code) {
        const payload = Buffer.alloc(2);
        payload.writeUInt16BE(code);
        this.write(8, payload);
        this.stream.end();
    }

    break() {
        this.stream.destroy();
    }

    write(opcode, payload) {
        const length = payload.length < 126 ? Buffer.from([payload.length]) : Buffer.from([126, payload.length >> 8, payload.length & 255]);
        if (!this.stream.destroyed) this.stream.write(Buffer.concat([Buffer.from([0x80 | opcode]), length, payload]));
    }
}

/** Waits until something is true. */
export async function until(condition, what = String(condition)) {
    const end = Date.now() + 5_000;
    while (!(await condition())) {
        if (Date.now() > end) throw new Error(`never: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 3));
    }
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A JWT that says when it ends. */
export function token(name, secondsLeft = 3600) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({alg: "none"})}.${part({name, exp: Math.floor(Date.now() / 1000) + secondsLeft})}.signature`;
}
