export {TicketClient} from "./client.js";
export * from "./errors.js";
export {Http, newKey} from "./http.js";
export {Passes} from "./passes.js";
export {QueueFeed} from "./queue.js";
export {SeatMapFeed} from "./seat-map.js";
export {ReconnectingSocket} from "./sockets.js";
