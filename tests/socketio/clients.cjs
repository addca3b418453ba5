// Clients of Socket.IO, told by lines on standard input what to do. They say on standard output what they hear.
// Where the official client is installed is the first argument.
const { io } = require(require.resolve("socket.io-client", { paths: [process.argv[2]] }));

const sockets = {};
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function open({ id, url, auth, options, emits }) {
  const socket = (sockets[id] = io(url, { auth, forceNew: true, reconnectionDelay: 100, ...options }));
  socket.onAny((event, ...args) => say({ id, event, args }));
  socket.on("connect", () => {
    for (const [event, ...args] of emits) socket.emit(event, ...args);
    say({ id, event: "connect", args: [] });
  });
  socket.on("connect_error", (error) => say({ id, event: "connect_error", args: [{ message: error.message }] }));
  socket.on("disconnect", (reason) => say({ id, event: "disconnect", args: [{ reason }] }));
  socket.io.engine.on("upgrade", () => say({ id, event: "upgrade", args: [] }));
}

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    const socket = sockets[command.id];
    if (command.do === "open") open(command);
    if (command.do === "emit") {
      socket.emit(...command.args, (answer) => say({ id: command.id, event: "ack", args: [answer] }));
    }
    if (command.do === "cut") socket.io.engine.close(); // as if the network had gone
    if (command.do === "close") socket.disconnect();
  })
  .on("close", () => process.exit());
