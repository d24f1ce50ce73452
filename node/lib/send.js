const native = require('./addon.js');
const { options, recipient, signoOf, waiting } = require('./arguments.js');
const { fromFailure } = require('./errors.js');
const { limited } = require('./limited.js');
const { CONTENT, Outgoing } = require('./outgoing.js');
const { Turns } = require('./turns.js');

const OPTIONS = [...CONTENT, 'signo'];
const ASYNC_OPTIONS = [...OPTIONS, 'timeout', 'signal'];

/** What is checked, and a function that sends it: it gives the failure, if it could not now. */
function prepare(pid, fd, given) {
  const to = recipient(pid, 'pid');
  const signo = signoOf(to, given.signo);
  const outgoing = new Outgoing(fd, given);
  const attempt = () =>
    outgoing.note(native.send(to, signo, outgoing.fds, outgoing.data), to, signo);
  return { signo, outgoing, attempt };
}

function send(pid, fd, given) {
  const failure = prepare(pid, fd, options(given, OPTIONS)).attempt();
  if (failure) throw fromFailure(failure);
}

/** For each recipient whose queue is full: the calls that wait for it. */
const full = new Map();

async function sendAsync(pid, fd, given) {
  const known = options(given, ASYNC_OPTIONS);
  const { signo, outgoing, attempt } = prepare(pid, fd, known);
  const limits = waiting(known);
  const key = `${pid}/${signo}`;
  let turns = full.get(key);
  if (!turns) {
    const failure = attempt();
    if (!failure) return;
    if (failure.code !== 'EAGAIN') throw fromFailure(failure);
    turns = new Turns(
      (onRoom) => watchRoom(pid, signo, onRoom),
      () => full.delete(key),
    );
    full.set(key, turns);
  }
  outgoing.keep();
  const timedOut = () =>
    outgoing.timedOut('sendfds', 'its queue stayed full', limits.timeout, pid, signo);
  await limited(limits, timedOut, (settle) => turns.enter(attempt, settle));
}

/** Any other failure than EAGAIN shows at the next attempt, or passes. */
function watchRoom(pid, signo, onRoom) {
  const found = native.watchRoom(pid, signo, onRoom);
  return found instanceof native.Watch ? found : undefined;
}

module.exports = { send, sendAsync };
