const { aborted } = require('./errors.js');
const { clearTimeout, now, setTimeout } = require('./time.js');

/**
 * A promise that settles when `begin`'s argument is called, with an error or a value, or when the time is
 * up, which `timedOut` makes the error for, or the signal is aborted. What `begin` returned is called
 * then: it stops what goes on.
 */
function limited({ timeout, signal }, timedOut, begin) {
  return new Promise((resolve, reject) => {
    let isSettled = false;
    let stop;
    const settle = (error, value) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      stop?.();
      if (error) reject(error);
      else resolve(value);
    };
    const onAbort = () => settle(aborted(signal));
    const deadline = now() + timeout;
    // Node's timers count from when the turn of the loop began, and so may come early.
    const onTime = () => {
      const left = deadline - now();
      if (left <= 0) settle(timedOut());
      else timer = setTimeout(onTime, Math.ceil(left));
    };
    let timer = timeout < Infinity ? setTimeout(onTime, timeout) : undefined;
    signal?.addEventListener('abort', onAbort);
    try {
      stop = begin(settle);
    } catch (error) {
      settle(error);
    }
    if (isSettled) stop?.();
  });
}

module.exports = { limited };
