const net = require('node:net');
const { getSystemErrorName } = require('node:util');
const { fromFailure } = require('./errors.js');

/** In other runtimes a handle is nothing without its socket or server. */
const HAS_HANDLES = !process.versions.bun && typeof net.Server.prototype._listen2 === 'function';

/** Of the handles of each kind. */
const classes = new Map();

/** As what Node makes handles of accepted connections. */
const SOCKET = 0;

/**
 * What a socket or server is made of: Node's handle, which owns the descriptor from then on. Throws
 * where Node has none for what the descriptor is, and has not touched it then.
 */
function sourceFrom(fd, kind) {
  if (!HAS_HANDLES) return { fd };
  const Handle = classes.get(kind);
  if (Handle) {
    const handle = new Handle(SOCKET);
    const errno = handle.open(fd);
    if (!errno) return { handle };
    handle.close();
    throw refused('open', errno);
  }
  // With nothing of the user's that could throw once the handle has the descriptor.
  const socket = new net.Socket({ fd, manualStart: true });
  const handle = socket._handle;
  socket._handle = null;
  if (kind) classes.set(kind, handle.constructor);
  return { handle };
}

/** Where a socket has no handle, it begins with its descriptor now. */
function beginOn(socket, { fd }) {
  if (fd !== undefined && !socket._handle) socket.connect({ fd });
}

/** Has a server listen on it; also in a worker of node:cluster, where `listen({ fd })` asks the primary. */
function listenOn(server, { handle, fd }, backlog) {
  if (!handle) return server.listen({ fd, backlog });
  const errno = handle.listen(backlog);
  if (errno) throw refused('listen', errno);
  server._handle = handle;
  return server._listen2(null, -1, -1, backlog);
}

function refused(syscall, errno) {
  const code = getSystemErrorName(errno);
  return fromFailure({ errno, code, syscall, message: `${syscall} ${code}` });
}

module.exports = { beginOn, listenOn, sourceFrom };
