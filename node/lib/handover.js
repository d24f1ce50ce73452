const fs = require('node:fs');
const net = require('node:net');
const native = require('./addon.js');
const { options, waiting } = require('./arguments.js');
const { coded } = require('./errors.js');
const { limited } = require('./limited.js');
const { Outbox } = require('./outbox.js');
const { checkServer } = require('./server.js');
const { now } = require('./time.js');

/** Gives a listener to another process, and ends with answering what has come here. */
async function handOver(server, to, given) {
  checkServer(server);
  const known = options(given, ['data', 'signo', 'timeout', 'signal']);
  const { data, signo, signal } = known;
  const { timeout } = waiting(known);
  const fd = listenerOf(server);
  const deadline = now() + timeout;
  const left = () => ({ signal, timeout: Math.max(deadline - now(), 0) });
  // Until the other has it, both accept: no client is refused, and should the other end
  // before, nothing has happened.
  const outbox = await Outbox.open(to, { signo, signal, timeout });
  try {
    await outbox.sendAsync(fd, { data, ...left() });
    await outbox.taken(left());
  } finally {
    outbox.close();
  }
  closeConnectionsOnceAnswered(server);
  const closed = limited({ timeout: Infinity, signal }, undefined, (settle) => {
    server.once('close', settle);
    return () => server.off('close', settle);
  });
  stopListening(server);
  return closed;
}

function listenerOf(server) {
  const { _handle: handle } = server;
  if (!handle) throw coded(Error, 'ERR_SERVER_NOT_RUNNING', 'This server does not listen');
  if (process.versions.deno) {
    const text = 'Deno does not tell the descriptor of a server';
    throw coded(Error, 'ERR_METHOD_NOT_IMPLEMENTED', text);
  }
  if (typeof handle.fd !== 'number' || handle.fd < 0) {
    const text = 'This server listens through the primary of node:cluster, which has the listener';
    throw coded(Error, 'ERR_INVALID_STATE', text);
  }
  return handle.fd;
}

/**
 * Not the server's own close(): that of HTTP destroys connections whose next request is on its way.
 */
function stopListening(server) {
  if (!server.listening) return;
  const path = server.address();
  const isPath = typeof path === 'string' && !path.startsWith('\0');
  const close = () => net.Server.prototype.close.call(server);
  // Closing it would remove the path, where the other process listens now.
  if (!isPath || keepsPath(server._handle.fd)) return close();
  const kept = `${path}.${process.pid}`;
  fs.linkSync(path, kept);
  close();
  fs.renameSync(kept, path);
}

/** Only Node's own handles can be told to leave the path. */
function keepsPath(fd) {
  const { bun, deno } = process.versions;
  return !bun && !deno && native.keepPath(fd);
}

/** Tells clients with their next answer that the connection ends with it. */
function closeConnectionsOnceAnswered(server) {
  const last = (_request, response) => {
    response.shouldKeepAlive = false;
  };
  for (const { socket } of inside(server, 'http.server.connections')?.all() ?? []) {
    // What is being answered now.
    if (socket?._httpMessage) last(undefined, socket._httpMessage);
  }
  server.prependListener('request', last);
  for (const event of ['checkContinue', 'checkExpectation']) {
    // To listen to these is to answer them.
    if (server.listenerCount(event) > 0) server.prependListener(event, last);
  }
  // Of HTTP/2, as the server's own close() does in newer versions of Node: what has begun is answered. A
  // stream that the client begins at that moment is refused unprocessed, which it knows and repeats.
  server.prependListener('stream', ({ session }) => session?.close());
  for (const session of inside(server, 'sessions') ?? []) session.close();
}

/** What a server keeps under a symbol of Node's own, if this version does. */
function inside(server, name) {
  const symbols = Object.getOwnPropertySymbols(server);
  return server[symbols.find(({ description }) => description === name)];
}

module.exports = { handOver };
