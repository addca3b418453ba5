// The same as raw.py, with `ws`: sends each datagram which comes to its port to every open socket.
// The port is the first argument, where `ws` is installed the second.
const { WebSocketServer } = require(require.resolve("ws", { paths: [process.argv[3]] }));
const port = Number(process.argv[2]);

const server = new WebSocketServer({ port, host: "127.0.0.1", perMessageDeflate: false });
const datagrams = require("dgram").createSocket("udp4");
datagrams.on("message", (data) => {
  const text = data.toString();
  for (const socket of server.clients) socket.send(text);
});
datagrams.bind(port, "127.0.0.1");
