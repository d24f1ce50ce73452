// A primary of node:cluster and its worker, for server.test.js.

/** @type {import('node:cluster').Cluster} */
const cluster = /** @type {any} */ (require('node:cluster'));
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { Inbox, send } = require('..');

/** @param {import('node:net').Server} server */
const portOf = (server) => /** @type {import('node:net').AddressInfo} */ (server.address()).port;

/** @param {number | string} to */
async function read(to) {
  const client = net.connect(
    /** @type {any} */ (typeof to === 'number' ? { port: to } : { path: to }),
  );
  client.write('GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n');
  let text = '';
  for await (const chunk of client) text += chunk;
  return text.split('\r\n').pop();
}

async function primary() {
  const worker = cluster.fork();
  const pid = Number(worker.process.pid);
  await once(worker, 'message');
  const path = `/dev/shm/sendfd-cluster-${process.pid}`;
  for (const to of [0, path]) {
    const listener = net.createServer().listen(to);
    await once(listener, 'listening');
    const port = to || portOf(listener);
    send(pid, listener, { data: 'listen' });
    await once(worker, 'message');
    // The worker alone accepts from now on.
    const link = `${path}-again`;
    if (to) require('node:fs').linkSync(path, link);
    listener.close();
    console.log(await read(to ? link : port));
    if (to) require('node:fs').rmSync(link);
  }
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    send(pid, socket, { data: 'connect' });
    socket.destroy();
  });
  server.listen(0);
  await once(server, 'listening');
  console.log(await read(portOf(server)));
  server.close();
  worker.disconnect();
}

if (cluster.isPrimary) {
  primary();
} else {
  const answer = (/** @type {any} */ _, /** @type {http.ServerResponse} */ response) =>
    response.end(`worker ${cluster.worker?.id}`);
  const inbox = new Inbox();
  /** @type {http.Server[]} */
  const servers = [];
  inbox.on('parcel', (parcel) => {
    const server = http.createServer(answer);
    servers.push(server);
    if (String(parcel.data) === 'connect') parcel.connect(server);
    else parcel.listen(server).once('listening', () => process.send?.('listening'));
  });
  process.once('disconnect', () => {
    inbox.close();
    for (const server of servers) server.close();
  });
  process.send?.('open');
}
