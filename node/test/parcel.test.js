// @ts-check

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { Inbox, send } = require('..');
const { LIMIT, countFds, memoryFile, readAll, run } = require('./common.js');

/** Sends and receives. @param {import('..').Descriptor | import('..').Descriptor[]} fds */
async function through(fds) {
  const inbox = new Inbox();
  send(process.pid, fds);
  const [parcel] = await once(inbox, 'parcel');
  inbox.close();
  return parcel;
}

test('take: the descriptors become the caller’s', async () => {
  const before = countFds();
  const file = memoryFile('one');
  const parcel = await through([file, file]);
  const fds = parcel.take();
  assert.equal(fds.length, 2);
  assert.deepEqual(parcel.fds, []);
  parcel.close();
  for (const fd of fds) {
    assert.equal(readAll(fd), 'one');
    fs.closeSync(fd);
  }
  fs.closeSync(file);
  assert.throws(() => parcel.socket(), /no descriptor any more/);
  // The link to a closed inbox is dropped at the next first contact.
  const inbox = new Inbox({ signo: 55 });
  send(process.pid, 0, { signo: 55 });
  inbox.close();
  assert.ok(countFds() <= before + 1);
});

test('streams', async () => {
  const input = await through(fs.openSync('/proc/self/comm', 'r'));
  let text = '';
  for await (const chunk of input.readStream()) text += chunk;
  assert.match(text, /node|MainThread/);
  const path = `/dev/shm/sendfd-test-${process.pid}`;
  const output = await through(fs.openSync(path, 'w'));
  const stream = output.writeStream();
  stream.end('written');
  await once(stream, 'close');
  assert.equal(fs.readFileSync(path, 'utf8'), 'written');
  fs.rmSync(path);
});

test('a connection goes on in another process', LIMIT, async () => {
  const worker = run(`
    const inbox = new sendfd.Inbox();
    inbox.once('parcel', (parcel) => {
      const socket = parcel.socket();
      socket.end('answered by ' + process.pid);
      inbox.close();
    });
    console.log('open');`);
  await worker.line();
  const server = net.createServer((connection) => {
    send(worker.pid, connection);
    connection.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const client = net.connect(port, '127.0.0.1');
  let answer = '';
  for await (const chunk of client) answer += chunk;
  assert.equal(answer, `answered by ${worker.pid}`);
  assert.equal(await worker.ended, 0);
  server.close();
});

test('what a client said before the connection was handed over', LIMIT, async () => {
  const worker = run(`
    const inbox = new sendfd.Inbox();
    inbox.once('parcel', (parcel) => {
      inbox.close();
      const socket = parcel.socket();
      socket.once('data', (text) => socket.end('heard ' + text));
    });
    console.log('open');`);
  await worker.line();
  const server = net.createServer({ pauseOnConnect: true }, async (connection) => {
    // It is there by now, and would have been read without that option.
    await written;
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    send(worker.pid, connection);
    connection.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const client = net.connect(port, '127.0.0.1');
  const written = new Promise((resolve) => client.write('hello', resolve));
  let answer = '';
  for await (const chunk of client) answer += chunk;
  assert.equal(answer, 'heard hello');
  assert.equal(await worker.ended, 0);
  server.close();
});

test('a listening server goes on in another process', LIMIT, async () => {
  const worker = run(`
    const inbox = new sendfd.Inbox();
    inbox.once('parcel', (parcel) => {
      const server = parcel.server({}, (socket) => { socket.end('from ' + process.pid); server.close(); });
      server.once('listening', () => console.log('listening'));
      inbox.close();
    });
    console.log('open');`);
  await worker.line();
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  send(worker.pid, server);
  assert.equal(await worker.line(), 'listening');
  server.close();
  await once(server, 'close');
  const client = net.connect(port, '127.0.0.1');
  let answer = '';
  for await (const chunk of client) answer += chunk;
  assert.equal(answer, `from ${worker.pid}`);
  assert.equal(await worker.ended, 0);
});

test('the sender is dead before the parcel is taken', LIMIT, async () => {
  const inbox = new Inbox();
  const sender = run(`sendfd.send(${process.pid}, 0, { data: 'last words' })`);
  assert.equal(await sender.ended, 0);
  const [parcel] = await once(inbox, 'parcel');
  assert.equal(String(parcel.data), 'last words');
  assert.equal(parcel.pid, sender.pid);
  parcel.close();
  inbox.close();
});

test('what is no socket, or does not listen, stays in the parcel', LIMIT, async () => {
  const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const client = net.connect(port, '127.0.0.1');
  const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  const file = memoryFile('a file');
  const wrong = { name: 'TypeError', code: 'ERR_INVALID_FD_TYPE' };
  for (const [sent, ways] of /** @type {const} */ ([
    [file, ['socket', 'server']],
    [udp, ['socket', 'server']],
    [client, ['server']],
  ])) {
    const parcel = await through(sent);
    const before = countFds();
    const [fd] = parcel.fds;
    for (const way of ways) assert.throws(() => parcel[way](), wrong);
    await new Promise(setImmediate);
    assert.deepEqual(parcel.fds, [fd]);
    parcel.close();
    assert.equal(countFds(), before - 1);
  }
  fs.closeSync(file);
  udp.close();
  client.destroy();
  accepted.destroy();
  server.close();
});

test('options that Node refuses leave the descriptor in the parcel', async () => {
  const file = memoryFile('text');
  const parcel = await through([file]);
  assert.throws(() => parcel.readStream({ start: 2, end: 1 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.equal(parcel.fds.length, 1);
  let text = '';
  for await (const chunk of parcel.readStream({ start: 1 })) text += chunk;
  assert.equal(text, 'ext');
  parcel.close();
  parcel.close();
  fs.closeSync(file);
});

test('a worker of node:cluster listens, and serves what it is given', LIMIT, () => {
  const said = execFileSync(process.execPath, [path.join(__dirname, 'cluster.js')], LIMIT);
  assert.equal(String(said), 'worker 1\n'.repeat(3));
});
