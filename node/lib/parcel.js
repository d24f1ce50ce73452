const dgram = require('node:dgram');
const fs = require('node:fs');
const net = require('node:net');
const { inspect } = require('node:util');
const native = require('./addon.js');
const { options } = require('./arguments.js');
const { handleOf } = require('./descriptor.js');
const { coded, fromFailure, nameOf } = require('./errors.js');
const { beginOn, listenOn, sourceFrom } = require('./handle.js');
const { CONTENT, Outgoing } = require('./outgoing.js');
const { attach, checkIdle, checkServer, socketOptions } = require('./server.js');
const { NONE, split } = require('./unread.js');

/** Node's own. */
const BACKLOG = 511;

/** What a descriptor can be, in the addon's order. */
const KINDS = [undefined, 'tcp', 'unix', 'udp4', 'udp6'];

/** Who shows this may make a parcel. */
const KEY = Symbol('made by this package');

/** Closes what a forgotten parcel still holds. */
const forgotten = new FinalizationRegistry((held) => {
  const { fds, pid } = held;
  const what = fds.length > 0 ? `with open descriptors: ${fds}` : 'unanswered';
  const text = `A parcel from process ${pid} was collected ${what}`;
  process.emitWarning(text, { type: 'ResourceWarning', code: 'SENDFD_FORGOTTEN_PARCEL' });
  native.closeParcel(held.id);
  held.onClose();
});

class Parcel {
  /** What is left of it, also for when it is forgotten. */
  #held;
  #data;
  #unread = NONE;

  constructor(key, held, length) {
    if (key !== KEY) throw coded(TypeError, 'ERR_ILLEGAL_CONSTRUCTOR', 'Illegal constructor');
    this.#held = held;
    // Taken at once, so that V8 knows how much memory hangs on this object.
    if (length > 0) [this.#data, this.#unread] = split(native.takeData(held.id));
    if (!isEmpty(held)) forgotten.register(this, held, held);
  }

  get fds() {
    return this.#held.fds.slice();
  }

  get data() {
    this.#data ??= Buffer.alloc(0);
    return this.#data;
  }

  get unread() {
    return this.#unread;
  }

  get pid() {
    return this.#held.pid;
  }

  get uid() {
    return this.#held.uid;
  }

  get gid() {
    return this.#held.gid;
  }

  get signo() {
    return this.#held.signo;
  }

  get wantsReply() {
    return this.#held.wantsReply;
  }

  reply(fd = [], given = undefined) {
    const outgoing = new Outgoing(fd, options(given, CONTENT));
    const held = this.#held;
    if (!held.wantsReply) {
      const text = 'No answer to this parcel is wanted, or one has been given already';
      throw coded(Error, 'ERR_INVALID_STATE', text);
    }
    const failure = native.reply(held.id, outgoing.fds, outgoing.data);
    held.wantsReply = !!failure && failure.code !== 'EPIPE';
    this.#forgetIfEmpty();
    if (failure) throw fromFailure(failure);
  }

  take() {
    const held = this.#held;
    const { fds } = held;
    native.takeDescriptors(held.id);
    held.fds = [];
    this.#forgetIfEmpty();
    return fds;
  }

  socket(given) {
    const { fd, kind, listens } = this.#firstKind();
    if (listens) throw wrongKind(fd, 'a listener: call server() or listen()');
    const unread = this.#unread;
    if (unread.length > 0 && given?.onread) {
      const text = 'The property "options.onread" would not get the bytes that the sender has read';
      throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', text);
    }
    return this.#hand(fd, kind, (source) => {
      const socket = new net.Socket({ readable: true, writable: true, ...given, ...source });
      if (unread.length > 0) socket.unshift(unread);
      beginOn(socket, source);
      this.#unread = NONE;
      return socket;
    });
  }

  server(given, onConnection) {
    return this.listen(net.createServer(given, onConnection));
  }

  listen(server, { backlog = BACKLOG } = {}) {
    checkServer(server);
    checkIdle(server);
    const { fd, kind, listens } = this.#firstKind();
    if (!listens) throw wrongKind(fd, 'no listening stream socket');
    return this.#hand(fd, kind, (source) => {
      listenOn(server, source, backlog);
      return server;
    });
  }

  connect(server) {
    checkServer(server);
    const socket = this.socket(socketOptions(server));
    attach(server, socket);
    return socket;
  }

  datagram(given) {
    const { fd, kind: type } = this.#firstKind();
    if (process.versions.bun) throw unavailable('Bun makes no UDP socket of a descriptor');
    // Node takes { fd: 0 } for no descriptor, and would bind a port.
    if (!type?.startsWith('udp') || fd === 0) throw wrongKind(fd, 'no UDP socket');
    const socket = dgram.createSocket({ type, ...given });
    try {
      socket.bind({ fd, exclusive: true });
    } catch (error) {
      const handle = handleOf(socket);
      if (handle?.fd === fd) this.#keep(fd, handle, () => socket.close());
      else if (handle) socket.close();
      throw error;
    }
    return this.#handed(socket);
  }

  readStream(given) {
    return this.#stream(fs.createReadStream, given);
  }

  writeStream(given) {
    return this.#stream(fs.createWriteStream, given);
  }

  close() {
    const held = this.#held;
    forgotten.unregister(held);
    native.closeParcel(held.id);
    held.fds = [];
    held.wantsReply = false;
    held.onClose();
  }

  #first() {
    if (process.versions.deno) {
      throw unavailable('Deno makes nothing of a descriptor that it has not opened: use take()');
    }
    const [fd] = this.#held.fds;
    if (fd === undefined) {
      throw coded(Error, 'ERR_INVALID_STATE', 'This parcel holds no descriptor any more');
    }
    return fd;
  }

  #firstKind() {
    const fd = this.#first();
    const found = native.kind(this.#held.id);
    return { fd, kind: KINDS[found & ~native.LISTENS], listens: (found & native.LISTENS) !== 0 };
  }

  /** Gives the first descriptor to what `make` makes of it; it stays here if that throws. */
  #hand(fd, kind, make) {
    const source = sourceFrom(fd, kind);
    let owner;
    try {
      owner = make(source);
    } catch (error) {
      if (source.handle) this.#keep(fd, source.handle, () => source.handle.close());
      throw error;
    }
    return this.#handed(owner);
  }

  #handed(owner) {
    this.#takeFirst();
    owner.once('close', this.#held.onClose);
    return owner;
  }

  /** Node's handle cannot give a descriptor up, so a duplicate takes its place here. */
  #keep(fd, handle, close) {
    const { id, fds } = this.#held;
    if (handle.fd !== fd) this.#takeFirst();
    else fds.splice(0, 1, ...native.duplicateFirst(id));
    this.#forgetIfEmpty();
    close();
  }

  #takeFirst() {
    native.takeFirst(this.#held.id);
    this.#held.fds.shift();
    this.#forgetIfEmpty();
  }

  /** Whether it is closed matters to nobody once nothing is left in it. */
  #forgetIfEmpty() {
    if (isEmpty(this.#held)) forgotten.unregister(this.#held);
  }

  /** Such a stream has the descriptor only once it has been made: it may throw while it is. */
  #stream(create, given) {
    const fd = this.#first();
    // Called in the next turn if it throws: then never answered, as there is nobody to hear of it.
    const open = () => {};
    const stream = create('', { ...given, fd: undefined, fs: { ...fs, ...given?.fs, open } });
    stream.fd = fd;
    return this.#handed(stream);
  }

  [inspect.custom](_depth, style) {
    const { fds, data, unread, pid, uid, gid, signo, wantsReply } = this;
    const shown = { fds, data, pid, uid, gid, signo, wantsReply };
    if (unread.length > 0) shown.unread = unread;
    return `${nameOf(this) || 'Parcel'} ${inspect(shown, style)}`;
  }

  /** Gives a server all that is in a parcel: listeners, connections. */
  static serve(parcel, server) {
    const held = parcel.#held;
    while (held.fds.length > 0) {
      if (parcel.#firstKind().listens) parcel.listen(server);
      else parcel.connect(server);
    }
  }
}

function isEmpty({ fds, wantsReply }) {
  return fds.length === 0 && !wantsReply;
}

function unavailable(message) {
  return coded(Error, 'ERR_METHOD_NOT_IMPLEMENTED', message);
}

function wrongKind(fd, what) {
  return coded(TypeError, 'ERR_INVALID_FD_TYPE', `Descriptor ${fd} is ${what}`);
}

// Not the function itself: a subclass may have another close().
if (Symbol.dispose) {
  Parcel.prototype[Symbol.dispose] = function () {
    this.close();
  };
}

const { serve } = Parcel;
delete Parcel.serve;

/** Where the addon writes down what there is to tell of a parcel (see `hold` there). */
const told = new Float64Array(native.TOLD + native.MAX_FDS);

/** The parcel of which so many numbers have been written down. */
function received(count, onClose = () => {}) {
  const fds = [];
  for (let at = native.TOLD; at < count; at++) fds.push(told[at]);
  const held = {
    id: told[0],
    pid: told[1],
    uid: told[2],
    gid: told[3],
    signo: told[4],
    wantsReply: told[5] === 1,
    fds,
    onClose,
  };
  return new Parcel(KEY, held, told[6]);
}

module.exports = { Parcel, received, serve, told };
