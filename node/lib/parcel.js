const cluster = require('node:cluster');
const fs = require('node:fs');
const net = require('node:net');
const { inspect } = require('node:util');

/** Closes what a forgotten parcel still holds. */
const forgotten = new FinalizationRegistry(({ native, onClose }) => {
  const { fds, pid } = native;
  if (fds.length > 0) {
    const text = `A parcel from process ${pid} was collected with open descriptors: ${fds}`;
    process.emitWarning(text, { type: 'ResourceWarning', code: 'SENDFD_FORGOTTEN_PARCEL' });
    native.close();
    onClose();
  }
});

class Parcel {
  #native;
  #onClose;
  #data;

  constructor(native, onClose) {
    this.#native = native;
    this.#onClose = onClose;
    // Taken at once, so that V8 knows how much memory hangs on this object.
    this.#data = native.takeData();
    forgotten.register(this, { native, onClose }, native);
  }

  get fds() {
    return this.#native.fds;
  }

  get data() {
    return this.#data;
  }

  get pid() {
    return this.#native.pid;
  }

  get uid() {
    return this.#native.uid;
  }

  get gid() {
    return this.#native.gid;
  }

  get signo() {
    return this.#native.signo;
  }

  take() {
    forgotten.unregister(this.#native);
    return this.#native.take();
  }

  socket(options) {
    return this.#hand((fd) => new net.Socket({ readable: true, writable: true, ...options, fd }));
  }

  server(options, onConnection) {
    return this.#hand((fd) => {
      if (cluster.isWorker) {
        throw new Error('A worker of node:cluster cannot listen on a descriptor of its own');
      }
      if (!this.#native.listens) throw notListening(fd);
      const server = net.createServer(options, onConnection).listen({ fd });
      // Such as AF_VSOCK, which Node does not know.
      if (!server._handle) {
        server.on('error', () => {});
        throw notListening(fd);
      }
      return server;
    });
  }

  readStream(options) {
    return this.#hand((fd) => fs.createReadStream('', { ...options, fd }));
  }

  writeStream(options) {
    return this.#hand((fd) => fs.createWriteStream('', { ...options, fd }));
  }

  close() {
    forgotten.unregister(this.#native);
    this.#native.close();
    this.#onClose();
  }

  /** Gives the first descriptor to what `make` makes; it stays here if that throws. */
  #hand(make) {
    const [fd] = this.#native.fds;
    if (fd === undefined) throw new Error('This parcel holds no descriptor any more');
    const owner = make(fd);
    this.#native.takeFirst();
    owner.once('close', this.#onClose);
    return owner;
  }

  [inspect.custom](_depth, options) {
    const { fds, data, pid, uid, gid, signo } = this;
    return `Parcel ${inspect({ fds, data, pid, uid, gid, signo }, options)}`;
  }
}

function notListening(fd) {
  const error = new TypeError(`Descriptor ${fd} is no listening stream socket`);
  return Object.assign(error, { code: 'ERR_INVALID_FD_TYPE' });
}

if (Symbol.dispose) {
  Parcel.prototype[Symbol.dispose] = Parcel.prototype.close;
}

module.exports = { Parcel };
