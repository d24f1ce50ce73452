// @ts-check

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { test } = require('node:test');
const { Inbox, Parcel, send, sendAsync } = require('..');
const { LIMIT, countFds, pipe, run } = require('./common.js');

test('events', async () => {
  const inbox = new Inbox();
  send(process.pid, 0, { data: 'x' });
  const [parcel] = await once(inbox, 'parcel');
  assert.ok(parcel instanceof Parcel);
  parcel.close();
  inbox.close();
  assert.equal(inbox.closed, true);
  assert.equal(inbox.fd, -1);
  await once(inbox, 'close');
  inbox.close();
});

test('nothing is taken before somebody wants it', LIMIT, async () => {
  const inbox = new Inbox();
  for (let i = 0; i < 20; i++) send(process.pid, 0, { data: String(i) });
  const before = countFds();
  const turns = async () => {
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  };
  await turns();
  assert.equal(countFds(), before);
  const iterator = inbox[Symbol.asyncIterator]();
  const first = await iterator.next();
  assert.equal(String(first.value.data), '0');
  await turns();
  assert.equal(countFds(), before + 2, 'the accepted connection and one descriptor');
  first.value.close();
  for (let i = 1; i < 20; i++) {
    const { value } = await iterator.next();
    assert.equal(String(value.data), String(i));
    value.close();
  }
  inbox.close();
});

test('closing ends iterations, and what nobody took is released', async () => {
  const inbox = new Inbox();
  const iterator = inbox[Symbol.asyncIterator]();
  const waiting = [iterator.next(), iterator.next()];
  inbox.close();
  assert.deepEqual(await Promise.all(waiting), Array(2).fill({ done: true, value: undefined }));
  assert.equal((await iterator.next()).done, true);
  assert.throws(() => send(process.pid, 0), { code: 'ECONNREFUSED' });
});

test('an iterator that ends leaves the parcels to others', LIMIT, async () => {
  const inbox = new Inbox();
  const [first, second] = [inbox[Symbol.asyncIterator](), inbox[Symbol.asyncIterator]()];
  const waiting = [first.next(), second.next()];
  await first.return?.();
  assert.equal((await waiting[0]).done, true);
  send(process.pid, 0, { data: 'x' });
  const { value } = await waiting[1];
  assert.equal(String(value.data), 'x');
  value.close();
  inbox.close();
});

test('an iterator that was ended takes nothing more', LIMIT, async () => {
  const inbox = new Inbox();
  const iterator = inbox[Symbol.asyncIterator]();
  await iterator.return?.();
  send(process.pid, 0, { data: 'x' });
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  const [parcel] = await once(inbox, 'parcel');
  assert.equal(String(parcel.data), 'x');
  parcel.close();
  inbox.close();
});

test('listeners come and go', LIMIT, async () => {
  const inbox = new Inbox();
  const turns = async () => {
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  };
  for (let i = 0; i < 4; i++) send(process.pid, 0, { data: String(i) });
  /** @type {string[]} */
  const seen = [];
  /** @param {import('..').Parcel} parcel */
  const note = (parcel) => {
    seen.push(String(parcel.data));
    parcel.close();
  };
  inbox.once('parcel', note);
  await turns();
  assert.deepEqual(seen, ['0'], 'the others are not taken');
  inbox.removeAllListeners();
  inbox.prependOnceListener('parcel', note);
  await turns();
  assert.deepEqual(seen, ['0', '1'], 'also after all listeners were removed');
  inbox.removeAllListeners('newListener');
  inbox.on('parcel', note);
  await turns();
  assert.deepEqual(seen, ['0', '1', '2', '3']);
  inbox.off('parcel', note);
  send(process.pid, 0, { data: '4' });
  await turns();
  assert.equal(seen.length, 4);
  inbox.close();
});

test(
  'closed by a listener, or while an iteration is in its body: the rest is released',
  LIMIT,
  async () => {
    for (const byListener of [true, false]) {
      const inbox = new Inbox();
      const [reader, writer] = pipe();
      for (let i = 0; i < 3; i++) send(process.pid, writer);
      fs.closeSync(writer);
      let count = 0;
      /** @param {import('..').Parcel} parcel */
      const take = (parcel) => {
        count++;
        parcel.close();
        inbox.close();
      };
      if (byListener) {
        inbox.on('parcel', take);
        await once(inbox, 'close');
      } else {
        for await (const parcel of inbox) take(parcel);
      }
      assert.equal(count, 1);
      assert.equal(fs.readSync(reader, Buffer.alloc(1)), 0, 'nobody holds the other end');
      fs.closeSync(reader);
    }
  },
);

test('using', LIMIT, async () => {
  const inbox = new Inbox();
  send(process.pid, [0, 0]);
  const [parcel] = await once(inbox, 'parcel');
  parcel[Symbol.dispose]();
  assert.deepEqual(parcel.fds, []);
  inbox[Symbol.dispose]();
  assert.equal(inbox.closed, true);
  await inbox[Symbol.asyncDispose]();
  const other = new Inbox();
  await other[Symbol.asyncDispose]();
  assert.equal(other.closed, true);
});

test('an inbox that could not be opened leaves nothing behind', () => {
  const inbox = new Inbox();
  const before = countFds();
  for (let i = 0; i < 3; i++) assert.throws(() => new Inbox(), { code: 'EADDRINUSE' });
  assert.equal(countFds(), before);
  inbox.close();
});

test('an exception in a listener loses nothing', LIMIT, async () => {
  const { line, ended, pid } = run(`
    const inbox = new sendfd.Inbox();
    let caught = 0;
    process.on('uncaughtException', (error) => { if (error.message !== 'on purpose') throw error; caught++; });
    inbox.on('parcel', (parcel) => {
      parcel.close();
      const n = Number(parcel.data);
      if (n === 9) { console.log('caught', caught); inbox.close(); }
      if (n % 2) throw new Error('on purpose');
    });
    console.log('open');`);
  await line();
  for (let i = 0; i < 10; i++) send(pid, 0, { data: String(i) });
  assert.equal(await line(), 'caught 4');
  assert.equal(await ended, 0);
});

test('10,000 parcels in order', LIMIT, async () => {
  const inbox = new Inbox();
  const sender = run(
    `(async () => { for (let i = 0; i < 10000; i++) await sendfd.sendAsync(${process.pid}, 0, { data: String(i) }); })()`,
  );
  let count = 0;
  for await (const parcel of inbox) {
    assert.equal(String(parcel.data), String(count));
    parcel.close();
    if (++count === 10_000) break;
  }
  assert.equal(await sender.ended, 0);
  inbox.close();
});

test(
  'an open inbox keeps the process alive; a closed or unref-ed one does not',
  LIMIT,
  async () => {
    assert.equal(await run('new sendfd.Inbox().close()').ended, 0);
    assert.equal(await run('new sendfd.Inbox().unref()').ended, 0);
    assert.equal(await run('new sendfd.Inbox().on("parcel", () => {}).unref()').ended, 0);
    const open = run('new sendfd.Inbox().unref().ref(); console.log("open")');
    await open.line();
    send(open.pid, 0);
    assert.equal(open.child.exitCode, null);
    open.child.kill();
    assert.equal(await open.ended, 'SIGTERM');
    const used = run(
      'new sendfd.Inbox().once("parcel", function () { this.close() }); console.log("open")',
    );
    await used.line();
    send(used.pid, 0);
    assert.equal(await used.ended, 0);
  },
);

test('a full table: the parcel is kept', LIMIT, async () => {
  const { line, ended, pid } = run(
    `
    const fs = require('node:fs');
    const inbox = new sendfd.Inbox();
    const held = [];
    try { for (;;) held.push(fs.openSync('/dev/null')); } catch {}
    inbox.on('error', (error) => {
      console.log(error.code, error.syscall);
      for (const fd of held) fs.closeSync(fd);
      inbox.resume();
    });
    inbox.on('parcel', (parcel) => { console.log(parcel.fds.length); parcel.close(); inbox.close(); });
    fs.writeSync(1, 'full\\n');`.replace('const held', "console.log('open'); const held"),
  );
  assert.equal(await line(), 'open');
  assert.equal(await line(), 'full');
  send(pid, [0, 1, 2]);
  assert.equal(await line(), 'EMFILE sendfd_recv');
  assert.equal(await line(), '3');
  assert.equal(await ended, 0);
});

test(
  'a full table: it goes on once a socket that came from a parcel is closed',
  LIMIT,
  async () => {
    const { line, ended, pid } = run(
      `
    const net = require('node:net');
    const inbox = new sendfd.Inbox();
    const held = [];
    let count = 0;
    inbox.on('error', (error) => {
      console.log(error.code);
      for (const socket of held) socket.destroy();
    });
    inbox.on('parcel', (parcel) => {
      held.push(parcel.socket());
      if (++count === 100) { console.log('all'); process.exit(); }
    });
    console.log('open');`,
      [],
      [],
      60,
    );
    await line();
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const client = net.connect(port, '127.0.0.1');
    await once(client, 'connect');
    for (let i = 0; i < 100; i++) await sendAsync(pid, client);
    const said = [await line()];
    while (said[said.length - 1] === 'EMFILE') said.push(await line());
    assert.ok(said.length > 1, 'the table was full');
    assert.equal(said.pop(), 'all');
    assert.equal(await ended, 0);
    client.destroy();
    server.close();
  },
);

test('a forgotten parcel is closed when it is collected, with a warning', LIMIT, async () => {
  const warned = once(process, 'warning');
  const inbox = new Inbox();
  send(process.pid, 0);
  const [fd] = (await once(inbox, 'parcel'))[0].fds;
  inbox.close();
  fs.fstatSync(fd);
  const gc = /** @type {() => void} */ (globalThis.gc);
  /** @type {Error | undefined} */
  let warning;
  warned.then(([found]) => {
    warning = found;
  });
  while (!warning) {
    gc();
    await new Promise(setImmediate);
  }
  assert.equal(warning.name, 'ResourceWarning');
  assert.match(warning.message, new RegExp(`from process ${process.pid} .*: ${fd}$`));
  assert.throws(() => fs.fstatSync(fd), { code: 'EBADF' });
});

test('bytes that nobody looks at do not pile up', LIMIT, async () => {
  const inbox = new Inbox();
  const iterator = inbox[Symbol.asyncIterator]();
  const data = Buffer.alloc(1 << 16);
  const before = process.memoryUsage().rss;
  let most = 0;
  for (let i = 0; i < 8192; i++) {
    send(process.pid, 0, { data });
    (await iterator.next()).value.close();
    if (i % 256 === 0) most = Math.max(most, process.memoryUsage().rss);
  }
  inbox.close();
  const megabytes = (most - before) >> 20;
  assert.ok(megabytes < 256, `${megabytes} MB for parcels of 512 MB in all`);
});
