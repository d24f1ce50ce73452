const { fromFailure } = require('./errors.js');
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
  constructor(watchRoom, onEmpty = () => {}) {
    this.#watchRoom = watchRoom;
    this.#onEmpty = onEmpty;
  }

  /**
   * Calls `attempt` when its turn has come, until it returns nothing, or a failure other than EAGAIN;
   * then `done`, with the error if there is one. Returns a function that leaves the line.
   */
  enter(attempt, done) {
    const call = { attempt, done };
    if (this.#waiting.size > 0 || !isMade(call)) {
      this.#waiting.add(call);
      if (!this.#stopAwaiting) this.#awaitRoom();
    }
    return () => this.#leave(call);
  }

  #leave(call) {
    if (!this.#waiting.delete(call) || this.#waiting.size > 0) return;
    this.#stopAwaiting?.();
    this.#onEmpty();
  }

  #goOn = () => {
    // A helper thread may tell of room that is no longer awaited.
    if (!this.#stopAwaiting) return;
    this.#stopAwaiting();
    let made = 0;
    for (const call of this.#waiting) {
      if (made++ === AT_ONCE) return this.#awaitNextTurn();
      if (!isMade(call)) return this.#awaitRoom();
      this.#leave(call);
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

/** Whether the call has had its effect, or its failure. */
function isMade({ attempt, done }) {
  try {
    const failure = attempt();
    if (failure?.code === 'EAGAIN') return false;
    done(failure && fromFailure(failure));
  } catch (error) {
    done(error);
  }
  return true;
}

module.exports = { Turns };
