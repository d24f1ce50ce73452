const { channel } = require('node:diagnostics_channel');
const native = require('./addon.js');
const { abortSignal, bytes, integer, milliseconds, options } = require('./arguments.js');
const { descriptors } = require('./descriptor.js');
const { aborted, fromFailure } = require('./errors.js');
const { Turns } = require('./turns.js');
const { join } = require('./unread.js');

const OPTIONS = ['data', 'unread', 'signo'];
const ASYNC_OPTIONS = [...OPTIONS, 'timeout', 'signal'];

const sent = channel('sendfd:send');

function content({ data, unread }) {
  const own = bytes(data, 'options.data');
  const more = bytes(unread, 'options.unread');
  return more?.length > 0 ? join(own, more) : own;
}

/** One parcel and to whom it goes, with all arguments checked. */
class Outgoing {
  constructor(pid, fd, given) {
    this.pid = integer(pid, 'pid');
    this.signo = integer(given.signo ?? native.SIGNO, 'options.signo');
    this.fds = descriptors(fd);
    this.data = content(given);
  }

  /** The failure, if it could not be sent now. */
  send() {
    const { pid, signo, fds, data } = this;
    const failure = native.send(pid, signo, fds, data);
    if (!failure && sent.hasSubscribers) sent.publish({ to: pid, signo, fds, data });
    return failure;
  }

  timedOut(timeout) {
    const { pid, signo, fds, data } = this;
    const what = `[${fds.length} fds], [${data?.length ?? 0} bytes]`;
    const call = `sendfds(${pid}, ${signo}, ${what}, ${timeout}ms)`;
    const message = `ETIMEDOUT: ${call} = -ETIMEDOUT (its queue stayed full)`;
    return fromFailure({ errno: -110, code: 'ETIMEDOUT', syscall: 'sendfds', message });
  }
}

function send(pid, fd, given) {
  const failure = new Outgoing(pid, fd, options(given, OPTIONS)).send();
  if (failure) throw fromFailure(failure);
}

/** For each recipient whose queue is full: the calls that wait for it. */
const waiting = new Map();

async function sendAsync(pid, fd, given) {
  const known = options(given, ASYNC_OPTIONS);
  const outgoing = new Outgoing(pid, fd, known);
  const timeout = milliseconds(known.timeout);
  const signal = abortSignal(known.signal);
  if (signal?.aborted) throw aborted(signal);
  const key = `${pid}/${outgoing.signo}`;
  let turns = waiting.get(key);
  if (!turns) {
    const failure = outgoing.send();
    if (!failure) return;
    if (failure.code !== 'EAGAIN') throw fromFailure(failure);
  }
  // The caller may do with the bytes what it likes.
  outgoing.data = outgoing.data?.slice();
  turns ??= new Turns(
    (onRoom) => watchRoom(outgoing, onRoom),
    () => waiting.delete(key),
  );
  waiting.set(key, turns);
  const timedOut = () => outgoing.timedOut(timeout);
  await turns.wait(() => outgoing.send(), { timeout, signal }, timedOut);
}

/** Any other failure than EAGAIN shows at the next attempt, or passes. */
function watchRoom({ pid, signo }, onRoom) {
  const found = native.Room.wait(pid, signo, onRoom);
  return found instanceof native.Room ? found : undefined;
}

module.exports = { send, sendAsync };
