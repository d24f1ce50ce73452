const native = require('./addon.js');
const { fromFailure } = require('./errors.js');
const { received, told } = require('./parcel.js');

/**
 * Sends a request when its turn has come, and calls `done` with an error, or nothing and the answer.
 * Returns a function that stops waiting.
 */
function ask(turns, outgoing, send, done) {
  let awaited;
  const onAnswer = () => {
    // A helper thread may tell of an answer that is no longer awaited.
    const found = awaited?.recv(told);
    if (!found) return;
    if (typeof found === 'number') {
      done(undefined, received(found));
      return;
    }
    const error = fromFailure(found);
    const isKept = error.code === 'EMFILE' || error.code === 'ENFILE';
    if (isKept) {
      error.retry = keep(awaited);
      awaited = undefined;
    }
    done(error);
  };
  const attempt = () => {
    const found = send(onAnswer);
    if (!(found instanceof native.NativeAnswer)) return found;
    awaited = found;
  };
  const leave = turns.enter(attempt, (error) => error && done(error));
  if (!awaited) outgoing.keep();
  return () => {
    leave();
    awaited?.close();
  };
}

/** The answer is there, and there was no room for its descriptors: it can be had later. */
function keep(awaited) {
  awaited.stop();
  return () => {
    const found = awaited.recv(told);
    if (typeof found === 'number') return received(found);
    throw Object.assign(fromFailure(found), { retry: keep(awaited) });
  };
}

module.exports = { ask };
