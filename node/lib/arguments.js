const { types } = require('node:util');
const { SIGNO } = require('./addon.js');
const { aborted, coded, wrongType } = require('./errors.js');

function integer(value, name) {
  if (!Number.isInteger(value) || Math.abs(value) > 0x7fffffff) {
    throw wrongType(name, 'an integer of 32 bits', value);
  }
  return value;
}

/** A pid, a tid, or the address of an inbox. */
function recipient(value, name = 'to') {
  if (typeof value === 'string') return value;
  if (!Number.isInteger(value) || Math.abs(value) > 0x7fffffff) {
    throw wrongType(name, 'an integer of 32 bits or an address', value);
  }
  return value;
}

/** The signal number of the inbox: an address has one of its own. */
function signoOf(to, given) {
  const signo = integer(given ?? SIGNO, 'options.signo');
  const own = typeof to === 'string' ? Number(to.slice(to.lastIndexOf('/') + 1)) : signo;
  return Number.isInteger(own) ? own : signo;
}

/** Numbers of users or groups. */
function ids(value, name) {
  if (value === undefined) return [];
  const fits = (id) => Number.isInteger(id) && id >= 0 && id <= 0xffffffff;
  if (!Array.isArray(value) || !value.every(fits)) {
    throw wrongType(name, 'an array of unsigned integers of 32 bits', value);
  }
  return value;
}

/** A path; undefined for none. */
function path(value, name) {
  if (value === undefined || (typeof value === 'string' && !value.includes('\0'))) return value;
  throw wrongType(name, 'a string without null bytes', value);
}

function bytes(value, name = 'options.data') {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return Buffer.from(value);
  if (ArrayBuffer.isView(value)) {
    const view = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    // Other threads may write to shared memory while it is sent.
    return types.isSharedArrayBuffer(value.buffer) ? view.slice() : view;
  }
  throw wrongType(name, 'a string, a Buffer, a TypedArray or a DataView', value);
}

/** An object of options, none of which is unknown. */
function options(value, known) {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) throw wrongType('options', 'an object', value);
  for (const name of Object.keys(value)) {
    if (!known.includes(name) && value[name] !== undefined) {
      const text = `The property "options.${name}" is not known here; known are: ${known.join(', ')}`;
      throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', text);
    }
  }
  return value;
}

/** Milliseconds; what no timer can wait for, 24 days, is for ever. */
function milliseconds(value = Infinity) {
  if (typeof value !== 'number' || !(value >= 0)) {
    throw wrongType('options.timeout', 'a number of milliseconds', value);
  }
  return value > 0x7fffffff ? Infinity : value;
}

/** An AbortSignal, of any realm, or nothing. */
function abortSignal(value) {
  const fits = typeof value === 'object' && value !== null && 'aborted' in value;
  if (value !== undefined && !fits) {
    throw wrongType('options.signal', 'an instance of AbortSignal', value);
  }
  return value;
}

/** What limits a call that waits. */
function waiting({ timeout, signal }) {
  const limits = { timeout: milliseconds(timeout), signal: abortSignal(signal) };
  if (signal?.aborted) throw aborted(signal);
  return limits;
}

module.exports = {
  abortSignal,
  bytes,
  ids,
  integer,
  options,
  path,
  recipient,
  signoOf,
  waiting,
};
