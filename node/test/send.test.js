// @ts-check

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { test } = require('node:test');
const { Inbox, MAX_DATA, MAX_FDS, SIGNO, send, sendAsync, version } = require('..');
const { LIMIT, memoryFile, readAll, run } = require('./common.js');

/** Connects to an inbox until the kernel takes no more. */
const CROWD = `
import os, resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
inode = {line.split()[6]: line.split()[7] for line in open('/proc/net/unix') if '@sendfd.1/' in line}
for fd in os.listdir('/proc/%s/fd' % sys.argv[1]):
    try:
        name = inode.get(os.readlink('/proc/%s/fd/%s' % (sys.argv[1], fd)).partition('[')[2][:-1])
    except FileNotFoundError:
        continue
    if name:
        break
held = []
while True:
    held.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK))
    try:
        held[-1].connect('\\0' + name[1:])
    except BlockingIOError:
        break
print('full', flush=True)
sys.stdin.read()
`;

/** @param {Inbox} inbox */
async function next(inbox) {
  const { value } = await inbox[Symbol.asyncIterator]().next();
  return value;
}

test('constants', () => {
  assert.equal(SIGNO, 50);
  assert.equal(MAX_FDS, 252);
  assert.equal(MAX_DATA, 65536);
  assert.equal(version, require('../package.json').version);
});

test('one descriptor, several, and data of each kind', async () => {
  const inbox = new Inbox();
  const fd = memoryFile('hello');
  for (const [fds, data] of /** @type {const} */ ([
    [[], 'a bare message'],
    [[], undefined],
    [[fd], undefined],
    [[fd, fd, fd], 'text ü'],
    [[fd], Buffer.from([0, 255, 0])],
    [[fd], new Uint16Array([1, 2])],
    [Array(MAX_FDS).fill(fd), Buffer.alloc(MAX_DATA, 7)],
  ])) {
    send(process.pid, fds, { data });
    const parcel = await next(inbox);
    assert.equal(parcel.fds.length, fds.length);
    const expected =
      data === undefined
        ? ''
        : typeof data === 'string'
          ? data
          : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    assert.deepEqual(parcel.data, Buffer.from(expected));
    assert.equal(parcel.pid, process.pid);
    assert.equal(parcel.uid, process.getuid?.());
    assert.equal(parcel.gid, process.getgid?.());
    assert.equal(parcel.signo, SIGNO);
    if (fds.length > 0) assert.equal(readAll(parcel.fds[0]), 'hello');
    parcel.close();
    assert.deepEqual(parcel.fds, []);
  }
  fs.closeSync(fd);
  inbox.close();
});

test('objects that have a descriptor', async () => {
  const inbox = new Inbox({ signo: 51 });
  const server = net.createServer().listen(0);
  const handle = await fs.promises.open('/dev/null');
  const stream = handle.createReadStream({ autoClose: false });
  const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const all = [server, handle, stream, udp, process.stdin, 0];
  send(process.pid, all, { signo: 51 });
  const parcel = await next(inbox);
  assert.equal(parcel.fds.length, all.length);
  const link = (/** @type {number} */ fd) => fs.readlinkSync(`/proc/self/fd/${fd}`);
  assert.equal(link(parcel.fds[1]), '/dev/null');
  assert.equal(link(parcel.fds[4]), link(0));
  const [first, second, third, fd, ...others] = parcel.take();
  const same = dgram.createSocket('udp4').bind({ fd });
  assert.deepEqual(same.address(), udp.address());
  same.close();
  udp.close();
  for (const rest of [first, second, third, ...others]) fs.closeSync(rest);
  for (const closed of [udp, new net.Socket(), net.createServer()]) {
    assert.throws(
      () => send(process.pid, closed, { signo: 51 }),
      (/** @type {any} */ error) => ['ERR_INVALID_ARG_TYPE', 'EBADF'].includes(error.code),
    );
  }
  await handle.close();
  server.close();
  inbox.close();
});

test('errors look like those of Node', async () => {
  const expected = { code: 'ECONNREFUSED', errno: -111, syscall: 'sendfds', name: 'Error' };
  assert.throws(() => send(process.pid, 0), expected);
  assert.throws(() => send(process.pid, 0), new RegExp(`sendfds\\(${process.pid}, 50`));
  assert.throws(() => send(process.pid, 0), /may not have opened it yet: Outbox.open\(\) waits/);
  await assert.rejects(sendAsync(process.pid, 0), expected);
  const { pid, ended } = run('');
  await ended;
  assert.throws(() => send(pid, 0), { code: 'ESRCH', errno: -3 });
  const inbox = new Inbox();
  assert.throws(() => send(process.pid, 999_999), { code: 'EBADF', errno: -9 });
  assert.throws(() => send(process.pid, -1), { code: 'EBADF' });
  assert.throws(() => send(process.pid, Array(253).fill(0)), { code: 'EINVAL' });
  assert.throws(() => send(process.pid, 0, { data: Buffer.alloc(65537) }), { code: 'EMSGSIZE' });
  assert.throws(() => send(0, 0), { code: 'EINVAL' });
  assert.throws(() => send(-1, 0), { code: 'EINVAL' });
  assert.throws(() => send(process.pid, 0, { signo: 9 }), { code: 'EINVAL' });
  assert.throws(() => new Inbox(), { code: 'EADDRINUSE', syscall: 'sendfd_inbox_open' });
  assert.throws(() => new Inbox({ signo: 9 }), { code: 'EINVAL' });
  inbox.close();
});

test('wrong types are TypeErrors', async () => {
  const wrong = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  /** @type {(...args: any) => void} */
  const untyped = send;
  for (const pid of [[], 1.5, Number.NaN, undefined, null, 2 ** 40]) {
    assert.throws(() => untyped(pid, 0), wrong, `${pid}`);
  }
  for (const fd of ['1', 1.5, 0n, undefined, null, {}, [null], Array(2), [{ fd: 'x' }]]) {
    assert.throws(() => untyped(process.pid, fd), wrong, `${fd}`);
  }
  for (const options of [
    1,
    'x',
    null,
    { data: 5 },
    { data: [1] },
    { signo: '50' },
    { unread: 1 },
  ]) {
    assert.throws(() => untyped(process.pid, 0, options), wrong, JSON.stringify(options));
  }
  assert.throws(() => untyped(process.pid, 0, { data: new ArrayBuffer(1) }), wrong);
  await assert.rejects(sendAsync(process.pid, 0, { timeout: -1 }), wrong);
  for (const signal of [50, null, {}]) {
    const options = /** @type {any} */ ({ signal });
    await assert.rejects(sendAsync(process.pid, 0, options), wrong);
    assert.throws(() => new Inbox(options), wrong);
  }
  // @ts-expect-error: that is the point
  await assert.rejects(sendAsync(1n, 0), wrong);
  // @ts-expect-error: that is the point
  assert.throws(() => new Inbox({ signo: 'x' }), wrong);
});

test('they say what was received, as Node does', () => {
  /** @param {(value: any) => void} call @param {any} value */
  const received = (call, value) => {
    try {
      call(value);
    } catch (error) {
      return /Received .*/.exec(/** @type {Error} */ (error).message)?.[0];
    }
  };
  const named = function named() {};
  const bare = Object.create(null);
  for (const value of [undefined, null, 'text', true, Symbol('s'), {}, bare, [], named]) {
    const expected = received(Buffer.alloc, value);
    assert.ok(expected);
    // Text could be an address.
    /** @param {any} wrong */
    const call = (wrong) => (wrong === 'text' ? send(1, wrong) : send(wrong, 0));
    assert.equal(received(call, value), expected);
  }
  const wrongSignal = /** @type {any} */ ({ signo: 'x' });
  assert.throws(() => send(1, 0, wrongSignal), /^TypeError: The "options.signo" property must be/);
});

test('bytes that are shared between threads, and bytes that are gone', async () => {
  const inbox = new Inbox();
  const shared = new Uint8Array(new SharedArrayBuffer(5), 1, 3).fill(7);
  send(process.pid, 0, { data: shared });
  send(process.pid, 0, { data: new DataView(Uint8Array.of(1, 2, 3).buffer, 1) });
  for (const bytes of [
    [7, 7, 7],
    [2, 3],
  ]) {
    const parcel = await next(inbox);
    assert.deepEqual(parcel.data, Buffer.from(bytes));
    parcel.close();
  }
  const gone = new Uint8Array(4);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  assert.throws(() => send(process.pid, 0, { data: gone }), TypeError);
  inbox.close();
});

/** Fills a mailbox; how many went in. @param {number} pid */
function fill(pid) {
  for (let count = 0; ; count++) {
    try {
      send(pid, 0, { data: String(count) });
    } catch (error) {
      assert.equal(/** @type {import('..').SendfdError} */ (error).code, 'EAGAIN');
      return count;
    }
  }
}

test('sendAsync waits for room, in order, and does not hold up the loop', LIMIT, async () => {
  const receiver = run(`
    const inbox = new sendfd.Inbox();
    console.log('open');
    process.stdin.once('data', async () => {
      for await (const parcel of inbox) {
        console.log(parcel.data.toString());
        parcel.close();
        if (parcel.data.toString() === 'last') inbox.close();
      }
      process.stdin.unref();
    });`);
  await receiver.line();
  const before = fill(receiver.pid);
  await assert.rejects(sendAsync(receiver.pid, 0, { timeout: 30 }), {
    code: 'ETIMEDOUT',
    errno: -110,
    syscall: 'sendfds',
    message: `ETIMEDOUT: sendfds(${receiver.pid}, 50, [1 fds], [0 bytes], 30ms) = -ETIMEDOUT (its queue stayed full)`,
  });
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  const bytes = Buffer.from('a');
  const sent = [sendAsync(receiver.pid, 0, { data: bytes })];
  const timedOut = { code: 'ETIMEDOUT' };
  const late = sendAsync(receiver.pid, 0, { data: 'late', timeout: 30 });
  const never = sendAsync(receiver.pid, 0, { data: 'never', timeout: 0 });
  const outOfTime = [
    assert.rejects(late, timedOut, 'also behind one that waits for ever'),
    assert.rejects(never, timedOut),
  ];
  sent.push(...['b', 'c', 'last'].map((data) => sendAsync(receiver.pid, 0, { data })));
  bytes.fill('x'); // its bytes are not needed any more
  await Promise.all(outOfTime);
  while (turns < 5) await new Promise(setImmediate);
  receiver.child.stdin.write('go');
  await Promise.all(sent);
  clearInterval(counting);
  for (let i = 0; i < before; i++) assert.equal(await receiver.line(), String(i));
  for (const data of ['a', 'b', 'c', 'last']) assert.equal(await receiver.line(), data);
  assert.equal(await receiver.ended, 0);
});

test('sendAsync learns that the receiver died', LIMIT, async () => {
  const receiver = run('new sendfd.Inbox(); console.log("open")');
  await receiver.line();
  fill(receiver.pid);
  const sent = sendAsync(receiver.pid, 0);
  receiver.child.kill('SIGKILL');
  // The kernel closes the sockets of a process that ends before it counts as gone.
  await assert.rejects(sent, ({ code }) => code === 'ESRCH' || code === 'ECONNREFUSED');
});

test('sendAsync where too many others wait to be accepted', LIMIT, async () => {
  const receiver = run(`
    const inbox = new sendfd.Inbox();
    console.log('open');
    process.stdin.once('data', async () => {
      const { value } = await inbox[Symbol.asyncIterator]().next();
      console.log(String(value.data));
      process.exit();
    });`);
  await receiver.line();
  const crowd = spawn('python3', ['-c', CROWD, String(receiver.pid)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.match(String((await once(crowd.stdout, 'data'))[0]), /^full/);
  assert.throws(() => send(receiver.pid, 0), { code: 'EAGAIN' });
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  const start = performance.now();
  await assert.rejects(sendAsync(receiver.pid, 0, { timeout: 100 }), { code: 'ETIMEDOUT' });
  assert.ok(performance.now() - start >= 100);
  assert.ok(turns > 0, 'the loop went on meanwhile');
  clearInterval(counting);
  const sent = sendAsync(receiver.pid, 0, { data: 'after all' });
  receiver.child.stdin.write('go');
  await sent;
  assert.equal(await receiver.line(), 'after all');
  assert.equal(await receiver.ended, 0);
  crowd.kill();
});
