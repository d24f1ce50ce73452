// @ts-check
// What has a descriptor, what has none any more, and what must not be sent.

const assert = require('node:assert/strict');
const { execFileSync, spawn } = require('node:child_process');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');
const { test } = require('node:test');
const https = require('node:https');
const { Inbox, send } = require('..');
const { LIMIT, ROOT } = require('./common.js');

/** What a descriptor refers to once it has been received. @param {any} object */
async function received(object) {
  const inbox = new Inbox();
  send(process.pid, object);
  const [parcel] = await once(inbox, 'parcel');
  const link = fs.readlinkSync(`/proc/self/fd/${parcel.fds[0]}`);
  parcel.close();
  inbox.close();
  return link;
}

test('a socket of dgram, without a warning of Node', LIMIT, async () => {
  const script = `
    const { Inbox, send } = require(${JSON.stringify(ROOT)});
    const udp = require('node:dgram').createSocket('udp4').bind(0, '127.0.0.1', () => {
      new Inbox().once('parcel', function (parcel) {
        const { port } = udp.address();
        const same = parcel.datagram();
        console.log(same.address().port === port);
        same.close();
        udp.close(() => {
          try { send(process.pid, udp); } catch (error) { console.log(error.code, error.syscall); }
          this.close();
        });
      });
      send(process.pid, udp);
    });`;
  for (const flag of ['--throw-deprecation', '--pending-deprecation']) {
    const said = execFileSync(process.execPath, [flag, '-e', script], { encoding: 'utf8' });
    assert.equal(said, 'true\nEBADF sendfds\n');
  }
});

test('what is not open is EBADF, whatever it is', LIMIT, async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const client = net.connect(port, '127.0.0.1');
  const [accepted] = await once(server, 'connection');
  accepted.on('error', () => {});
  client.resetAndDestroy();
  await new Promise((resolve) => accepted.on('close', resolve));
  server.close();
  const handle = await fs.promises.open('/dev/null');
  await handle.close();
  const udp = dgram.createSocket('udp4');
  udp.close();
  const stream = fs.createReadStream('/dev/null');
  const closed = { code: 'EBADF', errno: -9, syscall: 'sendfds', name: 'Error' };
  for (const object of [
    accepted,
    client,
    new net.Socket(),
    server,
    net.createServer(),
    handle,
    udp,
    stream,
  ]) {
    assert.throws(() => send(process.pid, object), closed, object.constructor.name);
  }
  assert.throws(() => send(process.pid, [0, accepted]), /^Error: EBADF: fd\[1\] \(Socket\) is not/);
  await once(stream, 'open');
  assert.equal(await received(stream), '/dev/null');
  stream.destroy();
});

test('ends of a child', LIMIT, async () => {
  const child = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
  assert.match(await received(child.stdout), /^(socket|pipe):/);
  assert.match(await received(child.stdin), /^(socket|pipe):/);
  child.kill();
  await once(child, 'exit');
});

test('TLS is refused, and it is said why', async () => {
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  const secure = new tls.TLSSocket(new net.Socket());
  assert.throws(() => send(process.pid, secure), { ...refused, message: /is a TLS socket/ });
  for (const server of [tls.createServer(), https.createServer()]) {
    assert.throws(() => send(process.pid, [server]), {
      ...refused,
      message: /"fd\[0\]".*TLS server/,
    });
  }
});

test('classes that are named by anything', () => {
  class Odd {}
  Object.defineProperty(Odd, 'name', { value: Symbol('odd') });
  const wrong = { code: 'ERR_INVALID_ARG_TYPE' };
  for (const odd of [new Odd(), Odd, { constructor: 5 }, { constructor: { name: {} } }]) {
    assert.throws(() => send(process.pid, /** @type {any} */ (odd)), wrong);
    assert.throws(() => send(/** @type {any} */ (odd), 0), wrong);
  }
  const closed = Object.assign(new Odd(), { fd: null });
  assert.throws(() => send(process.pid, /** @type {any} */ (closed)), { code: 'EBADF' });
});

test('an option that is unknown is refused', () => {
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE', message: /"options.sgino"/ };
  const options = /** @type {any} */ ({ sgino: 51 });
  assert.throws(() => send(process.pid, 0, options), refused);
  assert.throws(() => new Inbox(options), refused);
  assert.throws(() => send(process.pid, 0, { ...options, sgino: undefined }), {
    code: 'ECONNREFUSED',
  });
});
