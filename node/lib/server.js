const net = require('node:net');
const { coded, wrongType } = require('./errors.js');

/** Servers that have been given connections without listening, and track them all the same. */
const tracking = new WeakSet();

function checkServer(server) {
  if (!(server instanceof net.Server)) {
    const kinds = process.versions.bun ? 'net (of this runtime)' : 'net, http, https, http2 or tls';
    throw wrongType('server', `a server of ${kinds}`, server);
  }
}

function checkIdle(server) {
  if (server._handle) {
    const text = 'This server listens already; each has one listener';
    throw coded(Error, 'ERR_SERVER_ALREADY_LISTEN', text);
  }
}

/** As the server would have made the socket of a connection that it has accepted. */
function socketOptions({ allowHalfOpen, pauseOnConnect, highWaterMark }) {
  return {
    allowHalfOpen,
    pauseOnCreate: pauseOnConnect,
    readableHighWaterMark: highWaterMark,
    writableHighWaterMark: highWaterMark,
  };
}

/** Gives it a connection that it has not accepted itself. */
function attach(server, socket) {
  if (server.noDelay) socket.setNoDelay(true);
  if (server.keepAlive) socket.setKeepAlive(true, server.keepAliveInitialDelay * 1000);
  socket.server = server;
  if (server.listening) {
    // So that its close() waits for this one too.
    server._connections++;
    socket._server = server;
  } else {
    trackConnections(server);
  }
  server.emit('connection', socket);
}

/**
 * A server of HTTP begins to look for requests that take too long, and to know its connections, when
 * it listens. Where it never does, that is made up for; its other listeners of that event wait for an
 * address.
 */
function trackConnections(server) {
  if (tracking.has(server)) return;
  tracking.add(server);
  const begin = server
    .listeners('listening')
    .find((listener) => listener.name === 'setupConnectionsTracking');
  begin?.call(server);
}

module.exports = { attach, checkIdle, checkServer, socketOptions };
