const { inspect } = require('node:util');
const { ask } = require('./answer.js');
const { options, recipient, signoOf, waiting } = require('./arguments.js');
const { coded, fromFailure, nameOf } = require('./errors.js');
const { limited } = require('./limited.js');
const { NEVER, NOT_YET, open } = require('./open.js');
const { CONTENT, Outgoing, timedOut } = require('./outgoing.js');
const { TakenCalls } = require('./taken.js');
const { Turns } = require('./turns.js');

const LIMITS = ['timeout', 'signal'];

/** Who shows this may make an outbox. */
const KEY = Symbol('made by this package');

class Outbox {
  #native;
  #to;
  #signo;
  #turns = new Turns((onRoom) => this.#native.watchRoom(onRoom));
  #taken = new TakenCalls((onChange) => this.#native.watchTaken(onChange));
  /** What settles the calls that wait. */
  #waiting = new Set();

  constructor(key, opened, to, signo) {
    if (key !== KEY) {
      throw coded(TypeError, 'ERR_ILLEGAL_CONSTRUCTOR', 'Illegal constructor: use Outbox.open()');
    }
    this.#native = opened;
    this.#to = to;
    this.#signo = signo;
  }

  static async open(to, given) {
    const known = options(given, ['signo', ...LIMITS]);
    const signo = signoOf(recipient(to), known.signo);
    const limits = waiting(known);
    const late = () => {
      const why = 'it has opened no inbox for this signal number';
      return timedOut('sendfd_outbox_open', `${to}, ${signo}, ${limits.timeout}ms`, why);
    };
    const opened = await limited(limits, late, (settle) =>
      open(to, signo, limits.timeout === 0 ? NEVER : NOT_YET, settle),
    );
    return new Outbox(KEY, opened, to, signo);
  }

  get to() {
    return this.#to;
  }

  get signo() {
    return this.#signo;
  }

  get closed() {
    return this.#native === undefined;
  }

  /** Polls writable while there is room; -1 once closed. */
  get fd() {
    return this.#native?.fd ?? -1;
  }

  send(fd, given) {
    const outgoing = new Outgoing(fd, options(given, CONTENT));
    const failure = this.#open().send(outgoing.fds, outgoing.data);
    if (failure) throw fromFailure(failure);
    outgoing.note(undefined, this.#to, this.#signo);
  }

  async sendAsync(fd, given) {
    const known = options(given, [...CONTENT, ...LIMITS]);
    const outgoing = new Outgoing(fd, known);
    const limits = waiting(known);
    const opened = this.#open();
    const late = () => this.#late('sendfd_outbox_send', outgoing, limits, 'its queue stayed full');
    await this.#limited(limits, late, (settle) => {
      const attempt = () => opened.send(outgoing.fds, outgoing.data);
      const leave = this.#turns.enter(attempt, settle);
      outgoing.keep();
      return leave;
    });
    outgoing.note(undefined, this.#to, this.#signo);
  }

  async taken(given) {
    const limits = waiting(options(given, LIMITS));
    this.#open();
    const late = () => {
      const args = `${this.#to}, ${this.#signo}, ${limits.timeout}ms`;
      return timedOut('sendfd_outbox_wait_taken', args, 'not all has been taken yet');
    };
    await this.#limited(limits, late, (settle) => this.#taken.enter(settle));
  }

  async request(fd, given) {
    const known = options(given, [...CONTENT, ...LIMITS]);
    const outgoing = new Outgoing(fd, known);
    const limits = waiting(known);
    const opened = this.#open();
    const late = () =>
      this.#late('sendfd_outbox_request', outgoing, limits, 'there is no answer yet');
    return this.#limited(limits, late, (settle) => {
      const send = (onAnswer) => {
        const found = opened.ask(outgoing.fds, outgoing.data, onAnswer);
        // The answer comes by another way than the outbox.
        if (found.code !== 'EAGAIN') this.#waiting.delete(settle);
        return found;
      };
      return ask(this.#turns, outgoing, send, settle);
    });
  }

  close() {
    if (this.closed) return;
    const opened = this.#native;
    for (const settle of [...this.#waiting]) settle(closed());
    this.#native = undefined;
    opened.close();
  }

  #open() {
    if (this.closed) throw closed();
    return this.#native;
  }

  #late(syscall, outgoing, { timeout }, why) {
    return outgoing.timedOut(syscall, why, timeout, this.#to, this.#signo);
  }

  /** What closing the outbox ends, too. */
  #limited(limits, late, begin) {
    return limited(limits, late, (settle) => {
      this.#waiting.add(settle);
      const stop = begin(settle);
      return () => {
        this.#waiting.delete(settle);
        stop();
      };
    });
  }

  [inspect.custom](_depth, options) {
    const { to, signo, fd, closed } = this;
    const shown = { to, signo, fd, closed, waiting: this.#waiting.size };
    return `${nameOf(this) || 'Outbox'} ${inspect(shown, options)}`;
  }
}

function closed() {
  const message = 'EBADF: the outbox is closed';
  return fromFailure({ errno: -9, code: 'EBADF', syscall: 'sendfd_outbox_send', message });
}

if (Symbol.dispose) {
  Outbox.prototype[Symbol.dispose] = function () {
    this.close();
  };
}

module.exports = { Outbox };
