const native = require('../native.js');
const { bytes, descriptors, integer, milliseconds, options } = require('./arguments.js');
const { fromFailure } = require('./errors.js');

/** How long to wait where the kernel has nothing that could be waited for: a full accept queue. */
const RETRY_MS = 10;

/**
 * A full queue is looked at anew after this time, for it may never have room again and say nothing:
 * where the receiver has died, and a child that came from a raw clone holds its sockets open.
 */
const RECHECK_MS = 1000;

function parcel(pid, fd, given) {
  const { data, signal = native.SIGNO } = options(given);
  return [integer(pid, 'pid'), integer(signal, 'options.signal'), descriptors(fd), bytes(data)];
}

function send(pid, fd, given) {
  const failure = native.send(...parcel(pid, fd, given));
  if (failure) throw fromFailure(failure);
}

/** For each recipient: settles when all have left, or given up, who wait for it. */
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
  // The caller may do with the bytes what it likes.
  args[3] = args[3]?.slice();
  const sent = sendInTurn(before, args, timeout);
  const all = Promise.allSettled([before, sent]);
  waiting.set(key, all);
  all.then(() => waiting.get(key) === all && waiting.delete(key));
  return sent;
}

async function sendInTurn(before, args, timeout) {
  const deadline = performance.now() + timeout;
  if (before && !(await settlesWithin(timeout, before))) throw timedOut(args, timeout);
  for (;;) {
    const failure = native.send(...args);
    if (!failure) return;
    if (failure.code !== 'EAGAIN') throw fromFailure(failure);
    const left = deadline - performance.now();
    if (left <= 0) throw timedOut(args, timeout);
    await room(args[0], args[1], left);
  }
}

function settlesWithin(timeout, promise) {
  return new Promise((resolve) => {
    const timer = timeout < Infinity && setTimeout(resolve, timeout, false);
    promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/** Resolves when a full queue may have room, or after `left` milliseconds. */
function room(pid, signal, left) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      if (watched) found.close();
      resolve();
    };
    const found = native.Room.wait(pid, signal, done);
    // Any other failure than EAGAIN shows at the next attempt, or passes.
    const watched = found instanceof native.Room;
    const timer = setTimeout(done, Math.min(left, watched ? RECHECK_MS : RETRY_MS));
  });
}

function timedOut([pid, signal, { length: fds }, { length: size } = []], timeout) {
  const call = `sendfds(${pid}, ${signal}, [${fds} fds], [${size} bytes], ${timeout}ms)`;
  const message = `ETIMEDOUT: ${call} = -ETIMEDOUT (its queue stayed full)`;
  return fromFailure({ errno: -110, code: 'ETIMEDOUT', syscall: 'sendfds', message });
}

module.exports = { send, sendAsync };
