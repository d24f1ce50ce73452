const { ask } = require('./answer.js');
const { options, recipient, signoOf, waiting } = require('./arguments.js');
const { limited } = require('./limited.js');
const { FULL, NEVER, open } = require('./open.js');
const { CONTENT, Outgoing } = require('./outgoing.js');
const { Turns } = require('./turns.js');

const OPTIONS = [...CONTENT, 'signo', 'timeout', 'signal'];

/** By a link of its own, which is closed once the request has been sent. */
async function request(to, fd, given) {
  const known = options(given, OPTIONS);
  const signo = signoOf(recipient(to), known.signo);
  const outgoing = new Outgoing(fd, known);
  const limits = waiting(known);
  const late = () => {
    const why = 'there is no answer yet';
    return outgoing.timedOut('sendfd_outbox_request', why, limits.timeout, to, signo);
  };
  return limited(limits, late, (settle) => {
    let stop;
    const stopOpening = open(to, signo, limits.timeout === 0 ? NEVER : FULL, (error, outbox) => {
      if (error) return settle(error);
      const turns = new Turns((onRoom) => outbox.watchRoom(onRoom));
      const send = (onAnswer) => {
        const found = outbox.ask(outgoing.fds, outgoing.data, onAnswer);
        if (found.code !== 'EAGAIN') outbox.close();
        return found;
      };
      stop = ask(turns, outgoing, send, settle);
    });
    outgoing.keep();
    return () => {
      stopOpening();
      stop?.();
    };
  });
}

module.exports = { request };
