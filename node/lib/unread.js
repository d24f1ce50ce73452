// Bytes that the sender has read from a socket before it sent it travel behind the data:
//
//   data | unread bytes | their number, 4 bytes, little-endian | MARK, 16 bytes

const { Buffer } = require('node:buffer');

const MARK = Buffer.from('3df1c2a07e5b4d0f9a88b6e410d7f25c', 'hex');
const NONE = Buffer.alloc(0);
const TRAILER = 4 + MARK.length;

function join(data, unread) {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(unread.length);
  return Buffer.concat([data ?? NONE, unread, count, MARK]);
}

/** The data, and the unread bytes. */
function split(all) {
  const end = all.length - TRAILER;
  if (end < 0 || all.compare(MARK, 0, MARK.length, end + 4) !== 0) return [all, NONE];
  const start = end - all.readUInt32LE(end);
  if (start < 0) return [all, NONE];
  return [all.subarray(0, start), all.subarray(start, end)];
}

module.exports = { NONE, join, split };
