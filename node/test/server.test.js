// @ts-check
// Servers of net, http, https and http2 with connections and listeners from elsewhere.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after, test } = require('node:test');
const { Inbox, handOver, request, send } = require('..');
const { LIMIT, run } = require('./common.js');

const place = fs.mkdtempSync(path.join(os.tmpdir(), 'sendfd-server-'));
after(() => fs.rmSync(place, { recursive: true }));

/** @type {{ key: Buffer, cert: Buffer } | undefined} */
let made;
/** What TLS needs, by openssl. */
function identity() {
  if (made) return made;
  const [key, cert] = [path.join(place, 'key'), path.join(place, 'cert')];
  const subject = ['-subj', '/CN=localhost', '-days', '1', '-nodes'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const args = ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert];
  execFileSync('openssl', args, { stdio: 'ignore' });
  made = { key: fs.readFileSync(key), cert: fs.readFileSync(cert) };
  return made;
}

/** @param {net.Server} server */
const portOf = (server) => /** @type {net.AddressInfo} */ (server.address()).port;

/** A listener that sends what it accepts to this process. */
async function acceptor(/** @type {(socket: net.Socket) => void} */ hand) {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    hand(socket);
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** @param {import('node:http').RequestOptions | string} options @param {any} [by] @returns {Promise<string>} */
function ask(options, by = http) {
  return new Promise((resolve, reject) => {
    const request = by.get(options, async (/** @type {http.IncomingMessage} */ response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve(text);
    });
    request.on('error', reject);
  });
}

/** @param {string} authority @param {http2.SecureClientSessionOptions} [options] @returns {Promise<string>} */
async function ask2(authority, options) {
  const session = http2.connect(authority, options);
  const stream = session.request({ ':path': '/' });
  let text = '';
  for await (const chunk of stream) text += chunk;
  session.close();
  return text;
}

const answer = (/** @type {any} */ _, /** @type {any} */ response) => response.end('answered');
const insecure = { rejectUnauthorized: false, servername: 'localhost' };

/** A server of each kind, and a client for it. */
const KINDS = /** @type {const} */ ({
  net: [
    () => net.createServer((socket) => socket.end('answered')),
    async (/** @type {number} */ port) => {
      let text = '';
      for await (const chunk of net.connect(port, '127.0.0.1')) text += chunk;
      return text;
    },
  ],
  http: [
    () => http.createServer(answer),
    (/** @type {number} */ port) => ask({ port, agent: false }),
  ],
  https: [
    () => https.createServer(identity(), answer),
    (/** @type {number} */ port) => ask({ port, agent: false, ...insecure }, https),
  ],
  http2: [
    () => http2.createServer(answer),
    (/** @type {number} */ port) => ask2(`http://127.0.0.1:${port}`),
  ],
  'http2 with TLS': [
    () => http2.createSecureServer({ ...identity(), allowHTTP1: true }, answer),
    (/** @type {number} */ port) => ask2(`https://127.0.0.1:${port}`, insecure),
  ],
});

for (const [kind, [make, use]] of Object.entries(KINDS)) {
  test(`${kind}: connections, and a listener`, LIMIT, async () => {
    const inbox = new Inbox();
    const connected = make();
    inbox.on('parcel', (parcel) => parcel.connect(connected));
    const accepting = await acceptor((socket) => send(process.pid, socket));
    for (let i = 0; i < 3; i++) assert.equal(await use(portOf(accepting)), 'answered');
    accepting.close();
    inbox.removeAllListeners('parcel');

    const listening = net.createServer().listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const port = portOf(listening);
    send(process.pid, listening);
    const [parcel] = await once(inbox, 'parcel');
    listening.close();
    const server = parcel.listen(make());
    await once(server, 'listening');
    assert.equal(portOf(server), port);
    for (let i = 0; i < 3; i++) assert.equal(await use(port), 'answered');
    server.close();
    inbox.close();
  });
}

test('bytes that the sender has read come first', LIMIT, async () => {
  for (const [kind, [make, use]] of Object.entries(KINDS)) {
    if (kind === 'net') continue;
    const inbox = new Inbox();
    const server = make();
    inbox.serve(server);
    const reading = net.createServer((socket) => {
      // As one that looks at what a client says before it decides who is to answer.
      socket.once('data', (unread) => {
        send(process.pid, socket, { data: 'and other bytes', unread });
        socket.destroy();
      });
    });
    reading.listen(0, '127.0.0.1');
    await once(reading, 'listening');
    assert.equal(await use(portOf(reading)), 'answered', kind);
    reading.close();
    inbox.close();
  }
});

test('unread bytes and data are told apart, and bounded', LIMIT, async () => {
  const inbox = new Inbox();
  const [client, accepted] = await connection();
  for (const [data, unread] of /** @type {const} */ ([
    ['data', 'unread'],
    [undefined, 'unread'],
    ['data', ''],
    ['', Buffer.alloc(65516, 'x')],
  ])) {
    send(process.pid, accepted, { data, unread });
    const [parcel] = await once(inbox, 'parcel');
    assert.equal(String(parcel.data), data ?? '');
    assert.equal(String(parcel.unread), String(unread));
    if (parcel.unread.length === 0) {
      parcel.close();
      continue;
    }
    const options = /** @type {any} */ ({ onread: { buffer: Buffer.alloc(9), callback() {} } });
    assert.throws(() => parcel.socket(options), { code: 'ERR_INVALID_ARG_VALUE' });
    const socket = parcel.socket();
    assert.equal(String(socket.read()), String(unread));
    assert.equal(parcel.unread.length, 0);
    socket.destroy();
  }
  const unread = Buffer.alloc(65517);
  assert.throws(() => send(process.pid, accepted, { unread }), { code: 'EMSGSIZE' });
  // What looks like a count, and is none.
  const mark = Buffer.from('3df1c2a07e5b4d0f9a88b6e410d7f25c', 'hex');
  const data = Buffer.concat([Buffer.from([9, 0, 0, 0]), mark]);
  send(process.pid, [], { data });
  const [parcel] = await once(inbox, 'parcel');
  assert.deepEqual([parcel.data, parcel.unread.length], [data, 0]);
  parcel.close();
  client.destroy();
  accepted.destroy();
  inbox.close();
});

/** A connection: both its ends. */
async function connection() {
  const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect(portOf(server), '127.0.0.1');
  const [accepted] = await once(server, 'connection');
  server.close();
  return [client, accepted];
}

test('a server that never listens has time limits, and closes connections', LIMIT, async () => {
  const inbox = new Inbox();
  const server = http.createServer(
    { headersTimeout: 50, requestTimeout: 60, connectionsCheckingInterval: 20 },
    answer,
  );
  server.on('listening', () => assert.fail('it has no address'));
  inbox.serve(server);
  const accepting = await acceptor((socket) => send(process.pid, socket));
  // It says half a head, and no more.
  const slow = net.connect(portOf(accepting), '127.0.0.1');
  slow.write('GET / HTTP/1.1\r\nHost: x\r\n');
  let text = '';
  for await (const chunk of slow) text += chunk;
  assert.match(text, /^HTTP\/1.1 408 /);
  const idle = net.connect(portOf(accepting), '127.0.0.1');
  await once(server, 'connection');
  server.closeAllConnections();
  await new Promise((resolve) =>
    idle
      .on('close', resolve)
      .on('error', () => {})
      .resume(),
  );
  accepting.close();
  inbox.close();
});

test('serve reports what it cannot use', LIMIT, async () => {
  const inbox = new Inbox();
  const server = net.createServer();
  assert.throws(() => inbox.serve(/** @type {any} */ (() => {})), { code: 'ERR_INVALID_ARG_TYPE' });
  inbox.serve(server);
  const warned = once(process, 'warning');
  send(process.pid, fs.openSync('/dev/null', 'r'));
  assert.equal((await warned)[0].code, 'ERR_INVALID_FD_TYPE');
  const failed = new Promise((_, reject) => inbox.once('error', reject));
  send(process.pid, fs.openSync('/dev/null', 'r'));
  await assert.rejects(failed, { code: 'ERR_INVALID_FD_TYPE' });
  const asked = request(process.pid, [], { timeout: 5000 });
  await assert.rejects(asked, { code: 'ECONNRESET' }, 'it answers nobody');
  inbox.close();
});

test(
  'handOver: clients that keep connections, in the middle of requests, lose nothing',
  LIMIT,
  async () => {
    const successor = run(`
    const http = require('node:http');
    const server = http.createServer((_, response) => response.end('the successor'));
    server.once('listening', () => console.log('listening'));
    new sendfd.Inbox().serve(server);
    console.log('open');`);
    await successor.line();
    /** @type {http.ServerResponse[]} */
    const held = [];
    const server = http.createServer((request, response) => {
      if (request.url === '/slow') held.push(response);
      else response.end('the old one');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = portOf(server);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const idle = new http.Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal(await ask({ port, agent: idle }), 'the old one');
    const slow = ask({ port, agent, path: '/slow' });
    while (held.length === 0) await new Promise(setImmediate);
    const done = handOver(server, successor.pid);
    assert.equal(await successor.line(), 'listening');
    while (server.listening) await new Promise(setImmediate);
    // On a connection that the old one has: answered by it, and closed with that.
    assert.equal(await ask({ port, agent: idle }), 'the old one');
    assert.equal(await ask({ port, agent: idle }), 'the successor');
    held[0].end('slowly');
    assert.equal(await slow, 'slowly');
    await done;
    assert.equal(await ask({ port, agent: false }), 'the successor');
    agent.destroy();
    idle.destroy();
    successor.child.kill();
  },
);

test('handOver: a successor that dies, or is not there, changes nothing', LIMIT, async () => {
  const server = http.createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  const fails = async (/** @type {Promise<void>} */ call, /** @type {RegExp} */ code) => {
    await assert.rejects(call, { code });
    assert.equal(server.listening, true);
    assert.equal(await ask({ port, agent: false }), 'answered');
  };
  const successor = run('new sendfd.Inbox(); console.log("open")');
  await successor.line();
  await fails(handOver(server, successor.pid, { timeout: 50 }), /ETIMEDOUT/);
  const untaken = handOver(server, successor.pid);
  await Promise.all([fails(untaken, /ECONNRESET|EPIPE|ESRCH/), successor.child.kill('SIGKILL')]);
  await fails(handOver(server, successor.pid), /ESRCH/);
  await fails(handOver(server, process.pid, { timeout: 20 }), /ETIMEDOUT/);
  server.close();
  await assert.rejects(handOver(server, process.pid), { code: 'ERR_SERVER_NOT_RUNNING' });
});

test('handOver: of UNIX listeners the path stays, at every moment', LIMIT, async () => {
  const name = path.join(place, 'socket');
  const server = net.createServer((socket) => socket.end('the old one')).listen(name);
  await once(server, 'listening');
  const inbox = new Inbox();
  const next = net.createServer((socket) => socket.end('the new one'));
  inbox.serve(next);
  const watcher = fs.watch(place);
  /** @type {string[]} */
  const events = [];
  watcher.on('change', (event) => events.push(String(event)));
  await handOver(server, process.pid);
  let text = '';
  for await (const chunk of net.connect(name)) text += chunk;
  assert.equal(text, 'the new one');
  watcher.close();
  assert.deepEqual(events, [], 'nothing was removed, renamed or made');
  next.close();
  inbox.close();
  fs.rmSync(name);
});

test('handOver: HTTP/2 and TLS', LIMIT, async () => {
  const inbox = new Inbox();
  const server = http2.createSecureServer(identity(), answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  const session = http2.connect(`https://127.0.0.1:${port}`, insecure);
  const stream = async () => {
    let text = '';
    for await (const chunk of session.request({ ':path': '/' })) text += chunk;
    return text;
  };
  assert.equal(await stream(), 'answered');
  const next = http2.createSecureServer(identity(), answer);
  inbox.serve(next);
  const done = handOver(server, process.pid);
  await once(next, 'listening');
  while (server.listening) await new Promise(setImmediate);
  const symbols = Object.getOwnPropertySymbols(server);
  // Where Node knows its sessions, they are told at once; else with the next answer.
  if (symbols.some(({ description }) => description === 'sessions')) await once(session, 'close');
  else assert.equal(await stream(), 'answered');
  await done;
  assert.equal(await ask2(`https://127.0.0.1:${port}`, insecure), 'answered');
  next.close();
  inbox.close();
});
