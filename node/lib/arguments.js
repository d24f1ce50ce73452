const { wrongType } = require('./errors.js');

function integer(value, name) {
  if (!Number.isInteger(value) || Math.abs(value) > 0x7fffffff) {
    throw wrongType(name, 'an integer of 32 bits', value);
  }
  return value;
}

/** The number of a descriptor, or of an object that has one: a FileHandle, a socket, a server. */
function descriptor(value, name = 'fd') {
  const found = typeof value === 'number' ? value : (value?.fd ?? value?._handle?.fd);
  if (typeof found !== 'number') {
    throw wrongType(name, 'a descriptor, an open object that has one, or an array of these', value);
  }
  return integer(found, name);
}

function descriptors(value) {
  return Array.isArray(value)
    ? Array.from(value, (fd, index) => descriptor(fd, `fd[${index}]`))
    : [descriptor(value)];
}

function bytes(value) {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return Buffer.from(value);
  if (ArrayBuffer.isView(value)) {
    const view = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    // Other threads may write to shared memory while it is sent.
    return value.buffer instanceof SharedArrayBuffer ? view.slice() : view;
  }
  throw wrongType('options.data', 'a string, a Buffer, a TypedArray or a DataView', value);
}

function options(value) {
  if (value !== undefined && (typeof value !== 'object' || value === null)) {
    throw wrongType('options', 'an object', value);
  }
  return value ?? {};
}

/** Milliseconds; what no timer can wait for, 24 days, is for ever. */
function milliseconds(value = Infinity) {
  if (typeof value !== 'number' || !(value >= 0)) {
    throw wrongType('options.timeout', 'a number of milliseconds', value);
  }
  return value > 0x7fffffff ? Infinity : value;
}

module.exports = { bytes, descriptors, integer, milliseconds, options };
