// @ts-check
// Calls that wait in a full queue: what they cost, and how they are ended.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { Inbox, Outbox, send, sendAsync } = require('..');
const { LIMIT, run } = require('./common.js');

const ABORTED = { name: 'AbortError', code: 'ABORT_ERR' };

/** @param {number} pid @param {number} signo */
function fill(pid, signo) {
  for (let count = 0; ; count++) {
    try {
      send(pid, 0, { signo, data: String(count) });
    } catch (error) {
      assert.equal(/** @type {import('..').SendfdError} */ (error).code, 'EAGAIN');
      return count;
    }
  }
}

test('a queue that stays full while much is sent to it keeps nothing', LIMIT, async () => {
  // One parcel in each turn of its loop, which is slower than they are sent.
  const receiver = run(`
    const take = async () => {
      for await (const parcel of new sendfd.Inbox()) {
        parcel.close();
        await new Promise(setImmediate);
      }
    };
    take();
    console.log('open');`);
  await receiver.line();
  const sender = run(
    `
    const pid = Number(process.argv[1]);
    let made = 0;
    let most = 0;
    const chain = async () => {
      while (made++ < 60_000) {
        if (made % 10_000 === 0) {
          gc();
          most = Math.max(most, process.memoryUsage().heapUsed);
        }
        await sendfd.sendAsync(pid, 0);
      }
    };
    Promise.all(Array.from({ length: 600 }, chain)).then(() => console.log(most >> 20));`,
    [String(receiver.pid)],
    ['--expose-gc'],
  );
  const megabytes = Number(await sender.line());
  assert.equal(await sender.ended, 0);
  assert.ok(megabytes < 8, `${megabytes} MB of heap`);
  receiver.child.kill();
});

test('calls in a full queue are aborted one by one; the others leave in order', LIMIT, async () => {
  const inbox = new Inbox({ signo: 51 });
  const before = fill(process.pid, 51);
  const controllers = Array.from({ length: 2000 }, () => new AbortController());
  const calls = controllers.map(({ signal }, i) =>
    sendAsync(process.pid, 0, { signo: 51, data: `late ${i}`, signal }),
  );
  const reason = new Error('on purpose');
  const outcomes = Promise.allSettled(calls);
  controllers.forEach((controller, i) => {
    if (i % 3) controller.abort(reason);
  });
  const seen = [];
  for await (const parcel of inbox) {
    seen.push(String(parcel.data));
    parcel.close();
    if (parcel.data.equals(Buffer.from('late 1998'))) break;
  }
  (await outcomes).forEach((outcome, i) => {
    assert.equal(outcome.status, i % 3 ? 'rejected' : 'fulfilled');
    if (outcome.status === 'fulfilled') return;
    assert.equal(outcome.reason.name, 'AbortError');
    assert.equal(outcome.reason.code, 'ABORT_ERR');
    assert.equal(outcome.reason.cause, reason);
  });
  const late = Array.from({ length: 667 }, (_, i) => `late ${3 * i}`);
  assert.deepEqual(seen, [...Array.from({ length: before }, (_, i) => String(i)), ...late]);
  // Its last one settled, nobody waits any more: the next is sent at once, and is the only one.
  await sendAsync(process.pid, 0, { signo: 51, data: 'after', signal: controllers[0].signal });
  controllers[0].abort();
  const { value } = await inbox[Symbol.asyncIterator]().next();
  assert.equal(String(value.data), 'after');
  value.close();
  inbox.close();
});

test('a signal that is aborted already', LIMIT, async () => {
  const signal = AbortSignal.abort();
  assert.throws(() => new Inbox({ signo: 51, signal }), ABORTED);
  const inbox = new Inbox({ signo: 51 });
  await assert.rejects(sendAsync(process.pid, 0, { signo: 51, signal }), ABORTED);
  send(process.pid, 0, { signo: 51, data: 'the first' });
  const [parcel] = await once(inbox, 'parcel');
  assert.equal(String(parcel.data), 'the first');
  parcel.close();
  inbox.close();
});

test('a signal closes an inbox, and is let go when the inbox is closed', LIMIT, async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const inbox = new Inbox({ signo: 51, signal });
  const iterator = inbox[Symbol.asyncIterator]();
  const waiting = iterator.next();
  controller.abort();
  assert.equal(inbox.closed, true);
  assert.deepEqual(await waiting, { done: true, value: undefined });
  await once(inbox, 'close');

  const other = new AbortController();
  const listeners = { added: 0, removed: 0 };
  for (const [name, count] of /** @type {const} */ ([
    ['addEventListener', 'added'],
    ['removeEventListener', 'removed'],
  ])) {
    const original = other.signal[name];
    other.signal[name] = (/** @type {any[]} */ ...args) => {
      listeners[count]++;
      return Reflect.apply(original, other.signal, args);
    };
  }
  new Inbox({ signo: 51, signal: other.signal }).close();
  assert.deepEqual(listeners, { added: 1, removed: 1 });
});

test('no call ends before its time', LIMIT, async () => {
  for (let round = 0; round < 150; round++) {
    // Node's timers count from when this turn of the loop began.
    const busy = performance.now() + 5;
    while (performance.now() < busy);
    const start = performance.now();
    await assert.rejects(Outbox.open(process.pid, { signo: 59, timeout: 5 }), {
      code: 'ETIMEDOUT',
    });
    const took = performance.now() - start;
    assert.ok(took >= 5, `round ${round}: ${took} ms`);
  }
});
