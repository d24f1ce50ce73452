// @ts-check

// A file of its own, so a process of its own: what other tests have left behind is not in the figures.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { Inbox, send } = require('..');
const { countFds, memoryFile } = require('./common.js');

const ROUNDS = 50_000;

test('200,000 round trips without growth', { timeout: 180_000 }, async () => {
  const gc = /** @type {() => void} */ (globalThis.gc);
  const inbox = new Inbox();
  const iterator = inbox[Symbol.asyncIterator]();
  const fd = memoryFile('x');
  const rounds = async () => {
    for (let i = 0; i < ROUNDS; i++) {
      send(process.pid, fd, { data: 'some bytes' });
      const { value } = await iterator.next();
      value.close();
    }
    gc();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { fds: countFds(), rss, used: heapUsed + external };
  };
  // The first ones are not measured: V8's heap takes that long to reach its working size.
  await rounds();
  const before = await rounds();
  const after = [await rounds(), await rounds(), await rounds(), await rounds()];
  // What leaks is there every time; what V8 holds for a moment is not.
  const least = (/** @type {'rss' | 'used'} */ what) =>
    Math.min(...after.slice(2).map((now) => now[what])) - before[what];
  const grown = JSON.stringify({ before, after });
  for (const { fds } of after) assert.equal(fds, before.fds);
  assert.ok(least('used') < 1 << 20, grown);
  assert.ok(least('rss') < 6 << 20, grown);
  fs.closeSync(fd);
  inbox.close();
});
