const fs = require('node:fs');
const net = require('node:net');

/** Closes what a forgotten parcel still holds. */
const forgotten = new FinalizationRegistry((state) => {
  if (state.fds.length > 0) {
    const text = `A parcel from process ${state.pid} was collected with open descriptors: ${state.fds}`;
    process.emitWarning(text, { type: 'ResourceWarning', code: 'SENDFD_FORGOTTEN_PARCEL' });
    closeAll(state);
  }
});

function closeAll(state) {
  const { onClose } = state;
  for (const fd of state.fds.splice(0)) fs.closeSync(fd);
  onClose?.();
}

class Parcel {
  #state;

  constructor({ fds, data, pid, uid, gid, signo }, onClose) {
    this.#state = { fds, pid, onClose };
    this.data = data;
    this.pid = pid;
    this.uid = uid;
    this.gid = gid;
    this.signo = signo;
    forgotten.register(this, this.#state, this);
  }

  get fds() {
    return [...this.#state.fds];
  }

  take() {
    forgotten.unregister(this);
    return this.#state.fds.splice(0);
  }

  socket(options) {
    return this.#hand((fd) => new net.Socket({ readable: true, writable: true, ...options, fd }));
  }

  server(options, onConnection) {
    return this.#hand((fd) => net.createServer(options, onConnection).listen({ fd }));
  }

  readStream(options) {
    return this.#hand((fd) => fs.createReadStream('', { ...options, fd }));
  }

  writeStream(options) {
    return this.#hand((fd) => fs.createWriteStream('', { ...options, fd }));
  }

  close() {
    forgotten.unregister(this);
    closeAll(this.#state);
  }

  /** Gives the first descriptor to what `make` makes; it stays here if that throws. */
  #hand(make) {
    const { fds } = this.#state;
    if (fds.length === 0) throw new Error('This parcel holds no descriptor any more');
    const owner = make(fds[0]);
    fds.shift();
    return owner;
  }
}

if (Symbol.dispose) {
  Parcel.prototype[Symbol.dispose] = Parcel.prototype.close;
}

module.exports = { Parcel };
