const net = require('node:net');
const { coded, fromFailure, nameOf, wrongType } = require('./errors.js');
const { integer } = require('./arguments.js');

const EXPECTED = 'a descriptor, an open object that has one, or an array of these';

/** The numbers of one or several descriptors, or of objects that have one. */
function descriptors(value) {
  return Array.isArray(value)
    ? Array.from(value, (fd, index) => descriptor(fd, `fd[${index}]`))
    : [descriptor(value, 'fd')];
}

function descriptor(value, name) {
  if (typeof value === 'number') return integer(value, name);
  if (typeof value !== 'object' || value === null) throw wrongType(name, EXPECTED, value);
  refuseTls(value, name);
  const found = held(value);
  if (found === null) throw notOpen(value, name);
  if (typeof found !== 'number') throw wrongType(name, EXPECTED, value);
  return integer(found, name);
}

/** Its descriptor; null where it could have one, and has none; undefined where it never has. */
function held(value) {
  // A FileHandle, a stream of fs, a terminal, a handle.
  if (value.fd !== undefined) return value.fd;
  const handle = handleOf(value);
  return handle && (handle.fd ?? null);
}

/** What Node keeps a descriptor in; null where it has been closed, or has not been opened. */
function handleOf(value) {
  if (value instanceof net.Socket) return value._handle ?? null;
  // A socket of dgram: its `_handle` warns of its use, and is gone in newer versions of Node.
  const state = Object.getOwnPropertySymbols(value).find(
    ({ description }) => description === 'state symbol',
  );
  if (state) return value[state]?.handle ?? null;
  // A server of net.
  return '_handle' in value ? (value._handle ?? null) : undefined;
}

/** What a descriptor cannot carry: keys, and what TLS has read and not yet told. */
function refuseTls(value, name) {
  const isServer = typeof value.setSecureContext === 'function';
  if (value.encrypted !== true && !isServer) return;
  const text = isServer
    ? `The "${name}" argument is a TLS server, of which only the listener can be sent. ` +
      'Use handOver(), or send the descriptor of its handle'
    : `The "${name}" argument is a TLS socket, whose keys and state stay in this process. ` +
      'Hand the connection over before TLS begins';
  throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', text);
}

function notOpen(value, name) {
  const kind = nameOf(value);
  const what = kind && ` (${kind})`;
  const why = process.versions.deno
    ? 'has no descriptor that Deno would tell: files can be sent there, by number'
    : 'is not open: it has no descriptor yet, or none any more';
  const message = `EBADF: ${name}${what} ${why}`;
  return fromFailure({ errno: -9, code: 'EBADF', syscall: 'sendfds', message });
}

module.exports = { descriptors, handleOf };
