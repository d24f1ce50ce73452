// @ts-check

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { test } = require('node:test');
const { Inbox, MAX_DATA, MAX_FDS, SIGNO, send, sendAsync, version } = require('..');
const { LIMIT, memoryFile, readAll, run } = require('./common.js');

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
    assert.equal(readAll(parcel.fds[0]), 'hello');
    parcel.close();
    assert.deepEqual(parcel.fds, []);
  }
  fs.closeSync(fd);
  inbox.close();
});

test('objects that have a descriptor', async () => {
  const inbox = new Inbox({ signal: 51 });
  const server = net.createServer().listen(0);
  const handle = await fs.promises.open('/dev/null');
  send(process.pid, [server, handle, 0], { signal: 51 });
  const parcel = await next(inbox);
  assert.equal(parcel.fds.length, 3);
  parcel.close();
  await handle.close();
  server.close();
  inbox.close();
});

test('errors look like those of Node', async () => {
  const expected = { code: 'ECONNREFUSED', errno: -111, syscall: 'sendfds', name: 'Error' };
  assert.throws(() => send(process.pid, 0), expected);
  assert.throws(() => send(process.pid, 0), new RegExp(`sendfds\\(${process.pid}, 50`));
  await assert.rejects(sendAsync(process.pid, 0), expected);
  const { pid, ended } = run('');
  await ended;
  assert.throws(() => send(pid, 0), { code: 'ESRCH', errno: -3 });
  const inbox = new Inbox();
  assert.throws(() => send(process.pid, 999_999), { code: 'EBADF', errno: -9 });
  assert.throws(() => send(process.pid, -1), { code: 'EBADF' });
  assert.throws(() => send(process.pid, []), { code: 'EINVAL' });
  assert.throws(() => send(process.pid, Array(253).fill(0)), { code: 'EINVAL' });
  assert.throws(() => send(process.pid, 0, { data: Buffer.alloc(65537) }), { code: 'EMSGSIZE' });
  assert.throws(() => send(0, 0), { code: 'EINVAL' });
  assert.throws(() => send(-1, 0), { code: 'EINVAL' });
  assert.throws(() => send(process.pid, 0, { signal: 9 }), { code: 'EINVAL' });
  assert.throws(() => new Inbox(), { code: 'EADDRINUSE', syscall: 'sendfd_inbox_open' });
  assert.throws(() => new Inbox({ signal: 9 }), { code: 'EINVAL' });
  inbox.close();
});

test('wrong types are TypeErrors', async () => {
  const wrong = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  /** @type {(...args: any) => void} */
  const untyped = send;
  for (const pid of ['1', 1.5, Number.NaN, undefined, null, 2 ** 40]) {
    assert.throws(() => untyped(pid, 0), wrong, `${pid}`);
  }
  for (const fd of ['1', 1.5, undefined, null, {}, [null], [{ fd: 'x' }]]) {
    assert.throws(() => untyped(process.pid, fd), wrong, `${fd}`);
  }
  for (const options of [1, 'x', null, { data: 5 }, { data: [1] }, { signal: '50' }]) {
    assert.throws(() => untyped(process.pid, 0, options), wrong, JSON.stringify(options));
  }
  await assert.rejects(sendAsync(process.pid, 0, { timeout: -1 }), wrong);
  // @ts-expect-error: that is the point
  await assert.rejects(sendAsync('1', 0), wrong);
  // @ts-expect-error: that is the point
  assert.throws(() => new Inbox({ signal: 'x' }), wrong);
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
  });
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  const sent = ['a', 'b', 'c', 'last'].map((data) => sendAsync(receiver.pid, 0, { data }));
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
