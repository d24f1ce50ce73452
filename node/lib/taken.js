const { fromFailure } = require('./errors.js');
const { clearInterval, setInterval } = require('./time.js');

/** Where the kernel gives no pidfd, the end of a receiver is looked for so often. */
const RECHECK_MS = 1000;

/** Calls that wait until a receiver has taken everything: one watch for all of them. */
class TakenCalls {
  #calls = new Set();
  #makeWatch;
  #watch;
  #timer;

  /** `makeWatch` calls a function whenever it may have changed, and returns the watch, or a failure. */
  constructor(makeWatch) {
    this.#makeWatch = makeWatch;
  }

  /** Calls `done` when all has been taken, or never will be. Returns a function that stops waiting. */
  enter(done) {
    this.#calls.add(done);
    this.#look();
    return () => {
      if (this.#calls.delete(done) && this.#calls.size === 0) this.#stop();
    };
  }

  #look = () => {
    if (this.#calls.size === 0) return;
    if (!this.#watch) {
      const watch = this.#makeWatch(this.#look);
      if (watch.code) return this.#tell(fromFailure(watch));
      this.#watch = watch;
      this.#timer = setInterval(this.#look, RECHECK_MS);
    }
    const taken = this.#watch.look();
    if (taken !== false) this.#tell(taken === true ? undefined : fromFailure(taken));
  };

  #tell(error) {
    for (const done of [...this.#calls]) done(error);
  }

  #stop() {
    clearInterval(this.#timer);
    this.#watch?.close();
    this.#watch = undefined;
  }
}

module.exports = { TakenCalls };
