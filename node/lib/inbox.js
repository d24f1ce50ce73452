const { channel } = require('node:diagnostics_channel');
const { EventEmitter } = require('node:events');
const fs = require('node:fs');
const { inspect } = require('node:util');
const native = require('./addon.js');
const { abortSignal, ids, integer, options, path } = require('./arguments.js');
const { aborted, coded, fromFailure, nameOf } = require('./errors.js');
const { received, serve, told } = require('./parcel.js');
const { checkServer } = require('./server.js');
const { clearTimeout, setImmediate, setTimeout } = require('./time.js');

/** Parcels that are handed out before the event loop goes on with other things. */
const AT_ONCE = 64;

/** Where nothing but what cannot be taken is left: how soon it is looked anew. */
const REST_MS = 100;

const ACCESS = ['users', 'groups', 'anyone', 'directory'];
const OPTIONS = ['signo', 'thread', ...ACCESS, 'signal', 'captureRejections'];

const taken = channel('sendfd:parcel');

class Inbox extends EventEmitter {
  #native;
  #number;
  /** Whether the loop watches for mail. */
  #isWatched = false;
  #signo;
  #tid;
  /** Promises of iterators that wait for a parcel. */
  #waiting = [];
  /** Errors that have been told, by the parcel that is kept, or by their code. */
  #told = new Set();
  /** Set while nothing is left but what cannot be taken: it is looked anew from time to time. */
  #rest;
  #roomAgain = () => this.#told.size > 0 && this.#wanted && this.#goOn();
  /** It is wanted before it counts as a listener, which does no harm: nothing is taken before the next turn. */
  #listenerAdded = (event) => event === 'parcel' && this.#goOn();
  #stopListeningToSignal;

  constructor(given) {
    const known = options(given, OPTIONS);
    const { signo = native.SIGNO, thread = false, captureRejections } = known;
    super({ captureRejections });
    const signal = abortSignal(known.signal);
    if (signal?.aborted) throw aborted(signal);
    // By the class itself: who overrides it has not run its own constructor yet.
    super.on('newListener', this.#listenerAdded);
    this.#signo = integer(signo, 'options.signo');
    if (thread) this.#tid = threadId();
    const access = {
      users: ids(known.users, 'options.users'),
      groups: ids(known.groups, 'options.groups'),
      anyone: !!known.anyone,
      directory: path(known.directory, 'options.directory'),
    };
    const opened = native.NativeInbox.open(signo, !!thread, access, () => this.#readable());
    if (!(opened instanceof native.NativeInbox)) throw fromFailure(opened);
    this.#native = opened;
    this.#number = opened.number;
    if (signal) {
      const close = () => this.close();
      signal.addEventListener('abort', close);
      this.#stopListeningToSignal = () => signal.removeEventListener('abort', close);
    }
  }

  /** All but the one by which the inbox learns that parcels are wanted. */
  removeAllListeners(...events) {
    super.removeAllListeners(...events);
    if (!this.listeners('newListener').includes(this.#listenerAdded)) {
      super.on('newListener', this.#listenerAdded);
    }
    return this;
  }

  get signo() {
    return this.#signo;
  }

  get tid() {
    return this.#tid;
  }

  /** Text that names it on this machine; undefined once closed. */
  get address() {
    return this.#native?.address ?? undefined;
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

  /** Tries again at once what could not be taken. */
  resume() {
    this.#told.clear();
    if (this.#wanted) this.#goOn();
    return this;
  }

  discard(error) {
    const id = error?.id;
    if (typeof id !== 'number') {
      const text = 'The "error" argument must be one that tells of a parcel that is kept';
      throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', text);
    }
    const failure = this.#native?.discard(id);
    if (failure && failure.code !== 'EAGAIN') throw fromFailure(failure);
    this.#told.delete(id);
    if (this.#wanted) this.#goOn();
    return !this.closed && !failure;
  }

  #goOn() {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    this.#watch(true);
  }

  #watch(mail) {
    if (this.#isWatched === mail || !this.#native) return;
    this.#native.want(mail);
    this.#isWatched = mail;
  }

  serve(server) {
    checkServer(server);
    return this.on('parcel', (parcel) => {
      try {
        serve(parcel, server);
      } catch (error) {
        if (this.listenerCount('error') > 0) this.emit('error', error);
        else process.emitWarning(error);
      } finally {
        // With an answer that is wanted: there is none.
        parcel.close();
      }
    });
  }

  close() {
    if (this.closed) return;
    this.#native.close();
    this.#native = undefined;
    clearTimeout(this.#rest);
    this.#stopListeningToSignal?.();
    this.#endWaiting(() => true);
    setImmediate(() => this.emit('close'));
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
      this.#goOn();
    });
  }

  #endWaiting(which) {
    const ended = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((waiting) => !which(waiting));
    for (const { resolve } of ended) resolve({ done: true, value: undefined });
  }

  get #wanted() {
    return this.#waiting.length > 0 || this.listenerCount('parcel') > 0;
  }

  /** Nothing is taken that nobody wants, and one parcel is out of hands before the next is taken. */
  #readable() {
    // Only now: who takes one after the other would have it switched off and on for each.
    if (!this.#wanted) this.#watch(false);
    let isNews = false;
    for (let taken = 0; taken < AT_ONCE && this.#native && this.#wanted; taken++) {
      const found = native.receive(this.#number, told);
      if (found === null) break;
      if (typeof found === 'number') {
        this.#deliver(received(found, this.#roomAgain));
      } else if (this.#told.has(found.id ?? found.code)) {
        // What can be taken comes first: there is nothing else now.
        return this.#lookLater();
      } else if (found.id === undefined && found.code !== 'EPROTO' && !isNews) {
        // A connection could not be accepted, at the last attempt: it is told if that goes on.
        isNews = true;
      } else {
        this.#fail(fromFailure(found));
      }
    }
  }

  /** The descriptor of the inbox goes on to poll readable for what cannot be taken. */
  #lookLater() {
    this.#watch(false);
    this.#rest = setTimeout(() => {
      this.#goOn();
      this.#readable();
    }, REST_MS);
    this.#rest.unref();
  }

  #deliver(parcel) {
    if (taken.hasSubscribers) taken.publish({ inbox: this, parcel });
    const first = this.#waiting.shift();
    if (first) {
      first.resolve({ done: false, value: parcel });
    } else {
      this.emit('parcel', parcel);
    }
  }

  [inspect.custom](_depth, options) {
    const { signo, tid, fd, closed } = this;
    const shown = { signo, ...(tid && { tid }), fd, closed, waiting: this.#waiting.length };
    return `${nameOf(this) || 'Inbox'} ${inspect(shown, options)}`;
  }

  #fail(error) {
    // A peer of another version has been shut out already; what else it is will come again.
    if (error.code !== 'EPROTO') this.#told.add(error.id ?? error.code);
    const first = this.#waiting.shift();
    if (first) {
      first.reject(error);
    } else {
      this.emit('error', error);
    }
  }
}

/** What a sender names to reach this thread alone. */
function threadId() {
  return Number(fs.readlinkSync('/proc/thread-self').split('/').pop());
}

// Not the functions themselves: a subclass may have another close().
if (Symbol.dispose) {
  Inbox.prototype[Symbol.dispose] = function () {
    this.close();
  };
}
if (Symbol.asyncDispose) {
  Inbox.prototype[Symbol.asyncDispose] = async function () {
    this.close();
  };
}

module.exports = { Inbox };
