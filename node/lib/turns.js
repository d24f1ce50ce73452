const { aborted, fromFailure } = require('./errors.js');
const { clearImmediate, clearTimeout, setImmediate, setTimeout } = require('./time.js');

/** How long to wait where the kernel has nothing that could be waited for: a full accept queue. */
const RETRY_MS = 10;

/**
 * A full queue is looked at anew after this time, for it may never have room again and say nothing:
 * where the receiver has died, and a child that came from a raw clone holds its sockets open.
 */
const RECHECK_MS = 1000;

/** Parcels that are sent before the event loop goes on with other things. */
const AT_ONCE = 64;

/** Calls that wait for room in one queue, and are made in the order in which they came. */
class Turns {
  #waiting = new Set();
  #watchRoom;
  #onEmpty;
  /** Set while something is awaited: room, or the next turn of the event loop. */
  #stopAwaiting;

  /**
   * `watchRoom` calls a function once there may be room, and returns what has a `close()`, or nothing
   * where the kernel cannot tell. `onEmpty` is called when nobody waits any more.
   */
  constructor(watchRoom, onEmpty) {
    this.#watchRoom = watchRoom;
    this.#onEmpty = onEmpty;
  }

  get size() {
    return this.#waiting.size;
  }

  /**
   * Settles when `attempt` has returned nothing, or a failure other than EAGAIN. `timedOut` makes the
   * error for when the time is up.
   */
  wait(attempt, { timeout, signal }, timedOut) {
    return new Promise((resolve, reject) => {
      const settle = (error) => {
        this.#waiting.delete(call);
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(error);
        else resolve();
        if (this.size > 0) return;
        this.#stopAwaiting?.();
        this.#onEmpty();
      };
      const call = { attempt, settle };
      const onAbort = () => settle(aborted(signal));
      const timer = timeout < Infinity && setTimeout(() => settle(timedOut()), timeout);
      signal?.addEventListener('abort', onAbort);
      this.#waiting.add(call);
      if (!this.#stopAwaiting) this.#awaitRoom();
    });
  }

  #goOn = () => {
    this.#stopAwaiting();
    let made = 0;
    for (const { attempt, settle } of this.#waiting) {
      if (made++ === AT_ONCE) return this.#awaitNextTurn();
      const failure = attempt();
      if (failure?.code === 'EAGAIN') return this.#awaitRoom();
      settle(failure && fromFailure(failure));
    }
  };

  #awaitRoom() {
    const watched = this.#watchRoom(this.#goOn);
    const timer = setTimeout(this.#goOn, watched ? RECHECK_MS : RETRY_MS);
    this.#stopAwaiting = () => {
      this.#stopAwaiting = undefined;
      clearTimeout(timer);
      watched?.close();
    };
  }

  #awaitNextTurn() {
    const turn = setImmediate(this.#goOn);
    this.#stopAwaiting = () => {
      this.#stopAwaiting = undefined;
      clearImmediate(turn);
    };
  }
}

module.exports = { Turns };
