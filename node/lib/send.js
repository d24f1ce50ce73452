const native = require('../native.js');
const { bytes, descriptors, integer, milliseconds, options } = require('./arguments.js');
const { fromFailure } = require('./errors.js');

/** How long to wait where the kernel has nothing that could be waited for: a full accept queue. */
const RETRY_MS = 10;

function parcel(pid, fd, given) {
  const { data, signal = native.SIGNO } = options(given);
  return [integer(pid, 'pid'), integer(signal, 'options.signal'), descriptors(fd), bytes(data)];
}

function send(pid, fd, given) {
  const failure = native.send(...parcel(pid, fd, given));
  if (failure) throw fromFailure(failure);
}

/** The last of those that wait for one recipient, so that parcels leave in the order of the calls. */
const waiting = new Map();

function sendAsync(pid, fd, given) {
  let args;
  let timeout;
  try {
    args = parcel(pid, fd, given);
    timeout = milliseconds(options(given).timeout);
  } catch (error) {
    return Promise.reject(error);
  }
  const key = `${args[0]}/${args[1]}`;
  const before = waiting.get(key);
  if (!before) {
    const failure = native.send(...args);
    if (!failure) return Promise.resolve();
    if (failure.code !== 'EAGAIN') return Promise.reject(fromFailure(failure));
  }
  const deadline = timeout === undefined ? Infinity : performance.now() + timeout;
  const sent = (before ?? Promise.resolve()).then(() => sendBefore(deadline, args));
  const settled = sent.catch(() => {});
  waiting.set(key, settled);
  settled.then(() => waiting.get(key) === settled && waiting.delete(key));
  return sent;
}

async function sendBefore(deadline, args) {
  for (;;) {
    const failure = native.send(...args);
    if (!failure) return;
    if (failure.code !== 'EAGAIN') throw fromFailure(failure);
    const left = deadline - performance.now();
    if (left <= 0) throw timedOut(failure);
    await room(args[0], args[1], left);
  }
}

/** Resolves when a full queue may have room, or after `left` milliseconds. */
function room(pid, signal, left) {
  return new Promise((resolve) => {
    let timer;
    let watch;
    const done = () => {
      clearTimeout(timer);
      watch?.close();
      resolve();
    };
    const found = native.Room.wait(pid, signal, done);
    const longest = 0x7fffffff;
    if (found instanceof native.Room) {
      watch = found;
      if (left < Infinity) timer = setTimeout(done, Math.min(left, longest));
    } else {
      // EAGAIN: nothing to poll yet. Any other failure shows at the next attempt.
      timer = setTimeout(done, found.code === 'EAGAIN' ? Math.min(left, RETRY_MS) : 0);
    }
  });
}

function timedOut({ syscall, message }) {
  const text = message.replaceAll('EAGAIN', 'ETIMEDOUT').replace('is full', 'stayed full');
  return fromFailure({ errno: -110, code: 'ETIMEDOUT', syscall, message: text });
}

module.exports = { send, sendAsync };
