// @ts-check
// Each descriptor has one owner, whatever throws, and whoever inherits.

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { test } = require('node:test');
const { Inbox, Parcel, request, send } = require('..');
const { LIMIT, countFds, memoryFile, readAll } = require('./common.js');

/** Sends and receives. @param {import('..').Descriptor | import('..').Descriptor[]} fds */
async function through(fds) {
  const inbox = new Inbox();
  send(process.pid, fds);
  const [parcel] = await once(inbox, 'parcel');
  inbox.close();
  return parcel;
}

/** A connection: both its ends. */
async function connection() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const client = net.connect(port, '127.0.0.1');
  const [accepted] = await once(server, 'connection');
  server.close();
  return [client, accepted];
}

const gc = /** @type {() => void} */ (globalThis.gc);

/** Lets Node close what nobody refers to, and what it has been told to close. */
async function collect() {
  for (let round = 0; round < 10; round++) {
    gc();
    await new Promise(setImmediate);
  }
}

/** Files take the numbers that are free now: nobody may close them afterwards. */
async function nothingElseIsClosed(meanwhile = () => {}) {
  const file = memoryFile('guarded');
  const guards = Array.from({ length: 40 }, () => fs.openSync(`/proc/self/fd/${file}`, 'r'));
  meanwhile();
  await collect();
  for (const fd of guards) {
    assert.equal(readAll(fd), 'guarded', `${fd} was closed by somebody else`);
    fs.closeSync(fd);
  }
  fs.closeSync(file);
}

const fail = () => {
  throw new Error('on purpose');
};

test(
  'a request is unanswered once it is forgotten, also if its descriptors were taken',
  LIMIT,
  async () => {
    const inbox = new Inbox({ signo: 51 });
    const warned = once(process, 'warning');
    const fds = new Promise((resolve) => inbox.once('parcel', (parcel) => resolve(parcel.take())));
    const answer = request(process.pid, 0, { signo: 51 });
    for (const fd of await fds) fs.closeSync(fd);
    const unanswered = assert.rejects(answer, { code: 'ECONNRESET' });
    for (let ended = false; !ended; ) {
      await collect();
      const turn = new Promise((resolve) => setTimeout(() => resolve('not yet'), 10));
      ended = (await Promise.race([unanswered, turn])) !== 'not yet';
    }
    assert.match((await warned)[0].message, /was collected unanswered$/);
    inbox.close();
  },
);

test('options of a socket that throw late leave it in the parcel', LIMIT, async () => {
  const [client, accepted] = await connection();
  const parcel = await through(accepted);
  accepted.destroy();
  for (let round = 0; round < 5; round++) {
    const options = /** @type {any} */ ({ onread: { buffer: fail, callback() {} } });
    assert.throws(() => parcel.socket(options), /on purpose/);
    assert.equal(parcel.fds.length, 1);
    fs.fstatSync(parcel.fds[0]);
  }
  await nothingElseIsClosed();
  fs.fstatSync(parcel.fds[0]);
  parcel.socket().end('it still works');
  let text = '';
  for await (const chunk of client) text += chunk;
  assert.equal(text, 'it still works');
  parcel.close();
});

test('nobody closes a number after the parcel has closed it', LIMIT, async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(udp, 'listening')]);
  const [client, accepted] = await connection();
  const onread = { buffer: fail, callback() {} };
  const _listen2 = { get: fail };
  for (const [
    sent,
    late,
  ] of /** @type {[any, (parcel: Parcel, signal: AbortSignal) => void][]} */ ([
    [accepted, (parcel, signal) => parcel.socket(/** @type {any} */ ({ onread, signal }))],
    [udp, (parcel, signal) => parcel.datagram({ recvBufferSize: 0xffffffff, signal })],
    [
      server,
      (parcel) => parcel.listen(Object.defineProperty(net.createServer(), '_listen2', _listen2)),
    ],
  ])) {
    const parcel = await through(sent);
    const controller = new AbortController();
    assert.throws(() => late(parcel, controller.signal), Error);
    parcel.close();
    // What was half made is destroyed by this.
    await nothingElseIsClosed(() => controller.abort());
  }
  for (const object of [client, accepted]) object.destroy();
  for (const object of [server, udp]) object.close();
});

test('options of a stream that throw late leave it in the parcel', LIMIT, async () => {
  const file = memoryFile('text');
  const parcel = await through([file]);
  fs.closeSync(file);
  const [fd] = parcel.fds;
  const signal = AbortSignal.abort();
  for (const wrong of [{ encoding: 'none' }, { highWaterMark: -1 }, { signal: {} }]) {
    const options = /** @type {any} */ ({ signal, ...wrong });
    const refused = { name: /TypeError|RangeError/, code: /^ERR_/ };
    assert.throws(() => parcel.writeStream(options), refused);
    assert.throws(() => parcel.readStream(options), refused);
    assert.deepEqual(parcel.fds, [fd]);
  }
  await nothingElseIsClosed();
  assert.equal(readAll(parcel.fds[0]), 'text');
  parcel.close();
});

test('options of a socket of dgram that throw late leave it in the parcel', LIMIT, async () => {
  const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const parcel = await through(udp);
  const { port } = udp.address();
  await new Promise((resolve) => udp.close(() => resolve(undefined)));
  for (let round = 0; round < 5; round++) {
    const options = { recvBufferSize: 0xffffffff };
    assert.throws(() => parcel.datagram(options), { code: 'ERR_SOCKET_BUFFER_SIZE' });
    assert.throws(() => parcel.datagram({ signal: AbortSignal.abort() }));
    assert.equal(parcel.fds.length, 1);
  }
  await nothingElseIsClosed();
  const same = parcel.datagram();
  assert.equal(same.address().port, port);
  same.close();
});

test('a server that throws leaves the listener in the parcel', LIMIT, async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const parcel = await through(server);
  server.close();
  const options = /** @type {any} */ ({ keepAliveInitialDelay: 'x' });
  for (let round = 0; round < 5; round++) {
    assert.throws(() => parcel.server(options), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => parcel.listen(/** @type {any} */ ({})), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(
      () => parcel.listen(Object.defineProperty(net.createServer(), '_listen2', { get: fail })),
      /purpose/,
    );
    assert.equal(parcel.fds.length, 1);
  }
  await nothingElseIsClosed();
  const same = parcel.server({}, (/** @type {net.Socket} */ socket) => socket.end('accepted'));
  const client = net.connect(port, '127.0.0.1');
  let text = '';
  for await (const chunk of client) text += chunk;
  assert.equal(text, 'accepted');
  same.close();
  await once(same, 'close');
});

test('a listener is no socket', LIMIT, async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const parcel = await through(server);
  server.close();
  const refused = { name: 'TypeError', code: 'ERR_INVALID_FD_TYPE', message: /call server\(\)/ };
  assert.throws(() => parcel.socket(), refused);
  assert.throws(() => parcel.connect(net.createServer()), refused);
  assert.equal(parcel.fds.length, 1);
  parcel.close();
});

test('dispose calls the close() that a subclass has', async () => {
  /** @type {string[]} */
  const closed = [];
  class Logged extends Inbox {
    close() {
      closed.push('inbox');
      super.close();
    }
  }
  const inbox = new Logged();
  inbox[Symbol.dispose]();
  await new Logged()[Symbol.asyncDispose]();
  const parcel = await through(0);
  const { close } = parcel;
  parcel.close = () => {
    closed.push('parcel');
    close.call(parcel);
  };
  parcel[Symbol.dispose]();
  assert.deepEqual(closed, ['inbox', 'inbox', 'parcel']);
  assert.deepEqual(parcel.fds, []);
});

test('a subclass that throws while it is made leaves no inbox open', () => {
  class Throwing extends Inbox {
    /** @returns {never} */
    on() {
      return fail();
    }
  }
  const before = countFds();
  // Its own on() is not called before it could have run: the inbox is whole, and can be closed.
  const inbox = new Throwing();
  assert.throws(() => inbox.on(), /on purpose/);
  inbox.close();
  class Fixed extends Inbox {
    get signo() {
      return 7;
    }
  }
  const fixed = new Fixed();
  assert.equal(fixed.signo, 7);
  fixed.close();
  assert.equal(countFds(), before);
  assert.throws(() => send(process.pid, 0), { code: 'ECONNREFUSED' });
});

test('nobody else makes parcels', () => {
  const Constructor = /** @type {any} */ (Parcel);
  assert.throws(() => new Constructor(), { name: 'TypeError', code: 'ERR_ILLEGAL_CONSTRUCTOR' });
});

test('what is empty says so, with a code', async () => {
  const parcel = await through(0);
  parcel.close();
  for (const way of /** @type {const} */ ([
    'socket',
    'server',
    'datagram',
    'readStream',
    'writeStream',
  ])) {
    assert.throws(() => parcel[way](), { code: 'ERR_INVALID_STATE' });
  }
});
