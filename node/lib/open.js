const native = require('./addon.js');
const { fromFailure } = require('./errors.js');
const { clearTimeout, setTimeout } = require('./time.js');

/** How soon it is looked anew: at first, and at last. */
const FIRST_LOOK_MS = 2;
const LAST_LOOK_MS = 50;

/** What passes: the inbox has not been opened yet; too many wait to be accepted there. */
const NOT_YET = ['ECONNREFUSED', 'EAGAIN'];
const FULL = ['EAGAIN'];
const NEVER = [];

/**
 * Opens a link to an inbox, looking anew while the failure is one of `passing`. Calls `done` with an
 * error, or nothing and the link. Returns a function that stops looking.
 */
function open(to, signo, passing, done) {
  let pause = FIRST_LOOK_MS;
  let timer;
  const look = () => {
    const found = native.NativeOutbox.open(to, signo);
    if (found instanceof native.NativeOutbox) return done(undefined, found);
    if (!passing.includes(found.code)) return done(fromFailure(found));
    timer = setTimeout(look, pause);
    pause = Math.min(2 * pause, LAST_LOOK_MS);
  };
  look();
  return () => clearTimeout(timer);
}

module.exports = { FULL, NEVER, NOT_YET, open };
