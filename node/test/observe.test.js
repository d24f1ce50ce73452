// @ts-check
// What others see of it: people, tools, test runners.

const assert = require('node:assert/strict');
const { channel } = require('node:diagnostics_channel');
const { once } = require('node:events');
const { test } = require('node:test');
const { inspect } = require('node:util');
const vm = require('node:vm');
const { Worker } = require('node:worker_threads');
const { Inbox, request, send, sendAsync } = require('..');
const { LIMIT, ROOT, run } = require('./common.js');

test('inspect shows what matters', LIMIT, async () => {
  const inbox = new Inbox({ signo: 51 });
  assert.match(inspect(inbox), /^Inbox \{ signo: 51, fd: \d+, closed: false, waiting: 0 \}$/);
  send(process.pid, 0, { signo: 51, data: 'x' });
  const [parcel] = await once(inbox, 'parcel');
  assert.match(
    inspect(parcel).replace(/\s+/g, ' '),
    /^Parcel \{ fds: \[ \d+ \], data: <Buffer 78>, pid: \d+, uid: \d+, gid: \d+, signo: 51, wantsReply: false \}$/,
  );
  parcel.close();
  class Named extends Inbox {}
  const named = new Named({ signo: 52 });
  assert.match(inspect({ named }), /named: Named \{/);
  named.close();
  inbox.close();
  assert.match(inspect(inbox), /^Inbox \{ signo: 51, fd: -1, closed: true/);
});

test('channels of diagnostics_channel', LIMIT, async () => {
  /** @type {any[]} */
  const seen = [];
  const note = (/** @type {any} */ message, /** @type {any} */ name) => seen.push([name, message]);
  const channels = ['sendfd:send', 'sendfd:parcel'].map((name) => channel(name));
  for (const each of channels) each.subscribe(note);
  const inbox = new Inbox({ signo: 51 });
  assert.throws(() => send(process.pid, 0), { code: 'ECONNREFUSED' });
  send(process.pid, 0, { signo: 51, data: 'one' });
  await sendAsync(process.pid, [0, 0], { signo: 51 });
  const iterator = inbox[Symbol.asyncIterator]();
  const parcels = [(await iterator.next()).value, (await iterator.next()).value];
  for (const each of channels) each.unsubscribe(note);
  const to = process.pid;
  assert.deepEqual(seen, [
    ['sendfd:send', { to, signo: 51, fds: [0], data: Buffer.from('one') }],
    ['sendfd:send', { to, signo: 51, fds: [0, 0], data: undefined }],
    ['sendfd:parcel', { inbox, parcel: parcels[0] }],
    ['sendfd:parcel', { inbox, parcel: parcels[1] }],
  ]);
  for (const parcel of parcels) parcel.close();
  inbox.close();
});

test('captureRejections', LIMIT, async () => {
  const inbox = new Inbox({ captureRejections: true });
  inbox.on('parcel', async (parcel) => {
    parcel.close();
    throw new Error('on purpose');
  });
  const failed = new Promise((_, reject) => inbox.once('error', reject));
  send(process.pid, 0);
  await assert.rejects(failed, /on purpose/);
  inbox.close();
});

test('the id of a thread with an inbox', LIMIT, async () => {
  const inbox = new Inbox();
  assert.equal(inbox.tid, undefined);
  inbox.close();
  const own = new Inbox({ thread: true });
  assert.equal(own.tid, process.pid, 'of the main thread');
  own.close();
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
    const inbox = new (require(${JSON.stringify(ROOT)}).Inbox)({ thread: true });
    inbox.once('parcel', (parcel) => {
      parcel.close();
      inbox.close();
      parentPort.postMessage(String(parcel.data));
    });
    parentPort.postMessage(inbox.tid);`,
    { eval: true },
  );
  const [tid] = await once(worker, 'message');
  const said = once(worker, 'message');
  send(tid, 0, { data: 'by its tid' });
  assert.equal((await said)[0], 'by its tid');
  await worker.terminate();
});

test('test runners that stop the time', LIMIT, async () => {
  const { line, ended } = run(`
    const timers = require('node:timers');
    const perf = require('node:perf_hooks');
    for (const place of [globalThis, timers]) {
      for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval']) {
        place[name] = () => 0;
      }
    }
    globalThis.queueMicrotask = () => {};
    perf.performance.now = Date.now = () => 0;
    (async () => {
      const inbox = new sendfd.Inbox();
      try { for (;;) sendfd.send(process.pid, 0); } catch {}
      const outcomes = [
        sendfd.sendAsync(process.pid, 0, { timeout: 20 }),
        sendfd.Outbox.open(process.pid, { signo: 51, timeout: 20 }),
        sendfd.request(process.pid, [], { timeout: 20 }),
      ].map((call) => call.catch((error) => error.code));
      console.log((await Promise.all(outcomes)).join());
      const sent = sendfd.sendAsync(process.pid, 0, { data: 'last' });
      for await (const parcel of inbox) {
        parcel.close();
        if (String(parcel.data) === 'last') break;
      }
      await sent;
      inbox.on('close', () => console.log('closed'));
      inbox.close();
    })();`);
  assert.equal(await line(), 'ETIMEDOUT,ETIMEDOUT,ETIMEDOUT');
  assert.equal(await line(), 'closed');
  assert.equal(await ended, 0);
});

test('objects of other realms', LIMIT, async () => {
  const inbox = new Inbox();
  inbox.on('parcel', (parcel) => {
    if (parcel.wantsReply) parcel.reply([], { data: parcel.data });
    parcel.close();
  });
  const made = vm.runInNewContext(`({
    shared: new Uint8Array(new SharedArrayBuffer(3)).fill(7),
    bytes: new Uint8Array([1, 2, 3]),
    fds: [0, 0],
  })`);
  for (const [data, expected] of [
    [made.shared, [7, 7, 7]],
    [made.bytes, [1, 2, 3]],
  ]) {
    const answer = await request(process.pid, made.fds, { data });
    assert.deepEqual([...answer.data], expected);
    answer.close();
  }
  inbox.close();
});
