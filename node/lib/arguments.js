const { types } = require('node:util');
const { aborted, coded, wrongType } = require('./errors.js');

function integer(value, name) {
  if (!Number.isInteger(value) || Math.abs(value) > 0x7fffffff) {
    throw wrongType(name, 'an integer of 32 bits', value);
  }
  return value;
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

module.exports = { abortSignal, bytes, integer, options, waiting };
