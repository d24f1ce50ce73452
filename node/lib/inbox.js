const { EventEmitter } = require('node:events');
const native = require('../native.js');
const { integer, options } = require('./arguments.js');
const { fromFailure } = require('./errors.js');
const { Parcel } = require('./parcel.js');

/** Parcels that are handed out before the event loop goes on with other things. */
const AT_ONCE = 64;

class Inbox extends EventEmitter {
  #native;
  /** Promises of iterators that wait for a parcel. */
  #waiting = [];
  /** After an error nothing is taken until somebody does something about it. */
  #paused = false;
  #roomAgain = () => this.#paused && this.resume();
  #listenerAdded = (event) => event === 'parcel' && process.nextTick(() => this.resume());

  constructor(given) {
    super();
    const { signal = native.SIGNO, thread = false } = options(given);
    const opened = native.NativeInbox.open(integer(signal, 'options.signal'), !!thread, () =>
      this.#readable(),
    );
    if (!(opened instanceof native.NativeInbox)) throw fromFailure(opened);
    this.#native = opened;
    this.signal = signal;
    this.on('newListener', this.#listenerAdded);
  }

  /** All but the one by which the inbox learns that parcels are wanted. */
  removeAllListeners(...events) {
    super.removeAllListeners(...events);
    if (!this.listeners('newListener').includes(this.#listenerAdded)) {
      this.on('newListener', this.#listenerAdded);
    }
    return this;
  }

  get closed() {
    return this.#native === undefined;
  }

  /** The descriptor that polls readable while there is mail; -1 once closed. */
  get fd() {
    return this.#native?.fd ?? -1;
  }

  ref() {
    this.#native?.keepAlive(true);
    return this;
  }

  unref() {
    this.#native?.keepAlive(false);
    return this;
  }

  /** Goes on after an error. */
  resume() {
    this.#paused = false;
    if (this.#wanted) this.#native?.want(true);
    return this;
  }

  close() {
    if (this.closed) return;
    this.#native.close();
    this.#native = undefined;
    this.#endWaiting(() => true);
    process.nextTick(() => this.emit('close'));
  }

  [Symbol.asyncIterator]() {
    let ended = false;
    const iterator = {
      next: async () => (ended ? { done: true, value: undefined } : this.#next(iterator)),
      // What it still waits for goes to others.
      return: async (value) => {
        ended = true;
        this.#endWaiting((waiting) => waiting.iterator === iterator);
        return { done: true, value };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
    return iterator;
  }

  #next(iterator) {
    if (this.closed) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, iterator });
      this.resume();
    });
  }

  #endWaiting(which) {
    const ended = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((waiting) => !which(waiting));
    for (const { resolve } of ended) resolve({ done: true, value: undefined });
  }

  get #wanted() {
    return !this.#paused && (this.#waiting.length > 0 || this.listenerCount('parcel') > 0);
  }

  /** Nothing is taken that nobody wants, and one parcel is out of hands before the next is taken. */
  #readable() {
    // Only now: who takes one after the other would have it switched off and on for each.
    if (!this.#wanted) this.#native?.want(false);
    for (let taken = 0; taken < AT_ONCE && this.#native && this.#wanted; taken++) {
      const found = this.#native.recv();
      if (found === null) break;
      if (found instanceof native.NativeParcel) {
        this.#deliver(new Parcel(found, this.#roomAgain));
      } else {
        this.#fail(fromFailure(found));
      }
    }
  }

  #deliver(parcel) {
    const first = this.#waiting.shift();
    if (first) {
      first.resolve({ done: false, value: parcel });
    } else {
      this.emit('parcel', parcel);
    }
  }

  #fail(error) {
    // A peer of another version has been shut out already; what else it is will not pass by itself.
    this.#paused = error.code !== 'EPROTO';
    const first = this.#waiting.shift();
    if (first) {
      first.reject(error);
    } else {
      this.emit('error', error);
    }
  }
}

if (Symbol.dispose) {
  Inbox.prototype[Symbol.dispose] = Inbox.prototype.close;
}
if (Symbol.asyncDispose) {
  Inbox.prototype[Symbol.asyncDispose] = async function () {
    this.close();
  };
}

module.exports = { Inbox };
