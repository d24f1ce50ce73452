// A primary of node:cluster and its worker, for parcel.test.js.

/** @type {import('node:cluster').Cluster} */
const cluster = /** @type {any} */ (require('node:cluster'));
const net = require('node:net');
const { Inbox, send } = require('..');

if (cluster.isPrimary) {
  const worker = cluster.fork();
  const pid = Number(worker.process.pid);
  const server = net.createServer().listen(0, '127.0.0.1');
  worker.once('message', () => {
    send(pid, server);
    server.once('connection', (socket) => {
      send(pid, socket);
      socket.destroy();
    });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const client = net.connect(port, '127.0.0.1');
    client.on('data', (text) => console.log(String(text)));
    client.on('close', () => server.close());
  });
} else {
  const inbox = new Inbox();
  inbox.once('parcel', (parcel) => {
    let refused = '';
    try {
      parcel.server();
    } catch (error) {
      refused = /** @type {Error} */ (error).message;
    }
    const left = parcel.fds.length;
    parcel.close();
    inbox.once('parcel', (next) => {
      inbox.close();
      next.socket().end(`${left} ${refused}`);
      cluster.worker?.disconnect();
    });
  });
  process.send?.('open');
}
