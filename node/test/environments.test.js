// @ts-check
// Inboxes of threads, of workers, and of processes that have children.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { on, once } = require('node:events');
const fs = require('node:fs');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { Inbox, send } = require('..');
const { LIMIT, ROOT, countFds, memoryFile } = require('./common.js');

test('an inbox of a thread, by its tid', LIMIT, async () => {
  const worker = new Worker(
    `const fs = require('node:fs');
    const { parentPort } = require('node:worker_threads');
    const { Inbox } = require(${JSON.stringify(ROOT)});
    new Inbox({ thread: true }).once('parcel', function (parcel) {
      parentPort.postMessage(String(parcel.data));
      parcel.close();
      this.close();
    });
    parentPort.postMessage(Number(fs.readlinkSync('/proc/thread-self').split('/').pop()));`,
    { eval: true },
  );
  const inbox = new Inbox();
  const [tid] = await once(worker, 'message');
  assert.notEqual(tid, process.pid);
  // Both before the send: a worker's last message and its end come in one turn of the loop.
  const [said, ended] = [once(worker, 'message'), once(worker, 'exit')];
  send(tid, 0, { data: 'to the thread' });
  assert.deepEqual(await said, ['to the thread']);
  await ended;
  inbox.close();
});

test('children neither inherit an inbox nor take its mail', LIMIT, async () => {
  const inbox = new Inbox();
  const iterator = inbox[Symbol.asyncIterator]();
  const script = `const fs = require('node:fs');
    const links = fs.readdirSync('/proc/self/fd').map((fd) => {
      try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch {}
    });
    process.send(links.filter((link) => /^\\/dev\\/shm/.test(link)).length);
    process.once('message', () => process.exit());`;
  const file = memoryFile('x');
  send(process.pid, file, { data: 'before' });
  const held = (await iterator.next()).value;
  for (let i = 0; i < 3; i++) {
    const child = spawn(process.execPath, ['-e', script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    assert.deepEqual((await once(child, 'message'))[0], 0);
    send(process.pid, file, { data: `while ${i} lives` });
    const { value } = await iterator.next();
    assert.equal(String(value.data), `while ${i} lives`);
    value.close();
    child.send('end');
    await once(child, 'exit');
  }
  held.close();
  inbox.close();
  assert.throws(() => send(process.pid, file), { code: 'ECONNREFUSED' });
  fs.closeSync(file);
});

test('a worker that is ended with a parcel in its hands leaks nothing', LIMIT, async () => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
    new (require(${JSON.stringify(ROOT)}).Inbox)({ signo: 54 })
      .on('parcel', (parcel) => { globalThis.kept = parcel; parentPort.postMessage(parcel.fds); });
    parentPort.postMessage('open');`,
    { eval: true },
  );
  await once(worker, 'message');
  send(process.pid, [0, 1, 2], { signo: 54 });
  const [fds] = await once(worker, 'message');
  assert.equal(fds.length, 3);
  for (const fd of fds) fs.fstatSync(fd);
  await worker.terminate();
  for (const fd of fds) assert.throws(() => fs.fstatSync(fd), { code: 'EBADF' });
});

test('workers have inboxes of their own, and may be ended at any time', LIMIT, async () => {
  const before = countFds();
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Inbox } = require(${JSON.stringify(ROOT)});
    const inbox = new Inbox({ signo: workerData });
    inbox.on('parcel', (parcel) => { parentPort.postMessage(String(parcel.data)); parcel.close(); });
    parentPort.postMessage('open');`;
  for (let round = 0; round < 20; round++) {
    const workers = [51, 52, 53].map((signo) => {
      const worker = new Worker(script, { eval: true, workerData: signo });
      return { signo, worker, messages: on(worker, 'message') };
    });
    for (const { signo, messages } of workers) {
      assert.deepEqual((await messages.next()).value, ['open']);
      send(process.pid, 0, { signo, data: `to ${signo}` });
      assert.deepEqual((await messages.next()).value, [`to ${signo}`]);
    }
    await Promise.all(workers.map(({ worker }) => worker.terminate()));
    for (const { signo } of workers) {
      assert.throws(() => send(process.pid, 0, { signo }), { code: 'ECONNREFUSED' });
    }
  }
  // Fewer if connections of earlier tests, whose receivers are gone, were dropped meanwhile.
  assert.ok(countFds() <= before, `${before} descriptors, then ${countFds()}`);
});

test('workers that are ended at random, in the middle of everything', LIMIT, async () => {
  const before = countFds();
  const script = `
    const { parentPort, workerData: signo } = require('node:worker_threads');
    const { Inbox, Outbox, request, sendAsync } = require(${JSON.stringify(ROOT)});
    const take = async (inbox) => { for await (const parcel of inbox) { if (parcel.wantsReply && Math.random() < 0.5) try { parcel.reply(0); } catch (error) { if (error.code !== 'EPIPE') throw error; } if (Math.random() < 0.9) parcel.close(); } };
    const inbox = new Inbox({ signo });
    take(inbox);
    take(inbox);
    const flood = async () => { for (;;) await sendAsync(process.pid, [0, 1, 2], { signo, data: 'x' }); };
    // Nobody takes this: it fills, and a call waits for room.
    const full = new Inbox({ signo: signo + 4 });
    (async () => { for (;;) await sendAsync(process.pid, 0, { signo: signo + 4 }); })();
    // Requests that are answered, closed unanswered, and never taken.
    const ask = async (to) => {
      const outbox = await Outbox.open(process.pid, { signo: to });
      const reached = async (call) => { for (;;) await call().catch(() => {}).then((answer) => answer?.close()); };
      reached(() => outbox.request([0]));
      reached(() => outbox.taken({ timeout: 2 }));
      reached(() => request(process.pid, [], { signo: to, timeout: 2 }));
    };
    ask(signo);
    ask(signo + 4);
    setInterval(flood, 1);
    setInterval(() => { full.unref(); full.ref(); }, 1);
    parentPort.postMessage('open');`;
  for (let round = 0; round < 10; round++) {
    const workers = [51, 52].map(
      (workerData) => new Worker(script, { eval: true, workerData, stderr: true }),
    );
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
    await Promise.all(workers.map((worker) => worker.terminate()));
    for (const signo of [51, 52, 55, 56]) {
      assert.throws(() => send(process.pid, 0, { signo }), { code: 'ECONNREFUSED' });
    }
  }
  assert.ok(countFds() <= before, `${before} descriptors, then ${countFds()}`);
});
