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
    ? value.map((fd, index) => descriptor(fd, `fd[${index}]`))
    : [descriptor(value)];
}

function bytes(value) {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return Buffer.from(value);
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  throw wrongType('options.data', 'a string, a Buffer, a TypedArray or a DataView', value);
}

function options(value) {
  if (value !== undefined && (typeof value !== 'object' || value === null)) {
    throw wrongType('options', 'an object', value);
  }
  return value ?? {};
}

/** Milliseconds; undefined stands for no end. */
function milliseconds(value) {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !(value >= 0)) {
    throw wrongType('options.timeout', 'a number of milliseconds', value);
  }
  return value === Infinity ? undefined : value;
}

module.exports = { bytes, descriptors, integer, milliseconds, options };
