// @ts-check
// What became of it, and asking for it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const { test } = require('node:test');
const { inspect } = require('node:util');
const { Inbox, Outbox, request, send } = require('..');
const { LIMIT, countFds, memoryFile, readAll, run } = require('./common.js');

const ABORTED = { name: 'AbortError', code: 'ABORT_ERR' };

/** An inbox of this process that answers with what `answer` makes of a parcel, or does not. */
function answering(/** @type {(parcel: import('..').Parcel) => void} */ answer) {
  const inbox = new Inbox();
  inbox.on('parcel', answer);
  return inbox;
}

/** @param {import('..').Parcel} parcel */
const echo = (parcel) => {
  parcel.reply(parcel.fds, { data: `re: ${parcel.data}` });
  parcel.close();
};

test('an outbox waits for the inbox to be opened', LIMIT, async () => {
  const late = run(`
    process.stdin.once('data', () => {
      new sendfd.Inbox().once('parcel', function (parcel) {
        console.log(String(parcel.data));
        parcel.close();
        this.close();
        process.stdin.unref();
      });
    });
    console.log('started');`);
  await late.line();
  await assert.rejects(Outbox.open(late.pid, { timeout: 0 }), { code: 'ECONNREFUSED' });
  await assert.rejects(Outbox.open(late.pid, { timeout: 20 }), {
    code: 'ETIMEDOUT',
    syscall: 'sendfd_outbox_open',
  });
  const { signal } = new AbortController();
  const opening = Outbox.open(late.pid, { signal });
  late.child.stdin.write('go');
  const outbox = await opening;
  outbox.send(0, { data: 'at last' });
  assert.equal(await late.line(), 'at last');
  await outbox.taken();
  assert.equal(await late.ended, 0);
  assert.throws(() => outbox.send(0), { code: 'EPIPE' });
  outbox.close();
});

test('the end of a task, and a signal, end the wait for its inbox', LIMIT, async () => {
  const { child, pid, line } = run('console.log("started"); process.stdin.resume()');
  await line();
  const controller = new AbortController();
  const opening = [Outbox.open(pid), Outbox.open(pid, { signal: controller.signal })];
  const ended = [
    assert.rejects(opening[0], { code: 'ESRCH' }),
    assert.rejects(opening[1], ABORTED),
  ];
  controller.abort();
  await ended[1];
  child.kill('SIGKILL');
  await ended[0];
});

test('taken: not yet, in time, aborted', LIMIT, async () => {
  const inbox = new Inbox();
  const outbox = await Outbox.open(process.pid);
  await outbox.taken();
  outbox.send(0);
  await outbox.sendAsync([0, 0], { data: 'two' });
  await assert.rejects(outbox.taken({ timeout: 0 }), {
    code: 'ETIMEDOUT',
    syscall: 'sendfd_outbox_wait_taken',
  });
  const controller = new AbortController();
  const calls = [outbox.taken(), outbox.taken({ timeout: 50_000 })];
  const aborted = outbox.taken({ signal: controller.signal });
  controller.abort();
  await assert.rejects(aborted, ABORTED);
  const iterator = inbox[Symbol.asyncIterator]();
  (await iterator.next()).value.close();
  await assert.rejects(outbox.taken({ timeout: 20 }), { code: 'ETIMEDOUT' });
  (await iterator.next()).value.close();
  await Promise.all(calls);
  outbox.close();
  inbox.close();
});

test(
  'taken: the receiver is killed, or closes, with mail untaken, or with none',
  LIMIT,
  async () => {
    for (const [end, takes] of /** @type {const} */ ([
      ['kill', false],
      ['kill', true],
      ['close', false],
      ['close', true],
    ])) {
      const receiver = run(`
      const inbox = new sendfd.Inbox();
      if (${takes}) inbox.on('parcel', (parcel) => { parcel.close(); console.log('taken'); });
      process.stdin.once('data', () => { inbox.close(); setInterval(() => {}, 1000); });
      console.log('open');`);
      await receiver.line();
      const outbox = await Outbox.open(receiver.pid);
      outbox.send(0);
      const waiting = outbox.taken();
      if (takes) await receiver.line();
      const told = takes ? waiting : assert.rejects(waiting, { code: 'ECONNRESET' });
      if (end === 'kill') receiver.child.kill('SIGKILL');
      else receiver.child.stdin.write('close');
      await told;
      if (takes) await outbox.taken();
      else await assert.rejects(outbox.taken(), { code: 'ECONNRESET' });
      outbox.close();
      receiver.child.kill('SIGKILL');
    }
  },
);

test(
  'a full queue: calls wait, are aborted, leave in order; closing ends them',
  LIMIT,
  async () => {
    const inbox = new Inbox();
    const outbox = await Outbox.open(process.pid);
    let filled = 0;
    assert.throws(
      () => {
        for (; ; filled++) outbox.send(0, { data: String(filled) });
      },
      { code: 'EAGAIN' },
    );
    const controller = new AbortController();
    const aborted = outbox.sendAsync(0, { data: 'never', signal: controller.signal });
    const asked = outbox.request([], { data: 'never', signal: controller.signal });
    const ends = [assert.rejects(aborted, ABORTED), assert.rejects(asked, ABORTED)];
    const sent = outbox.sendAsync(0, { data: 'after all' });
    controller.abort();
    await Promise.all(ends);
    /** @type {string[]} */
    const seen = [];
    for await (const parcel of inbox) {
      seen.push(String(parcel.data));
      parcel.close();
      if (String(parcel.data) === 'after all') break;
    }
    await sent;
    assert.deepEqual(seen, [...Array.from({ length: filled }, (_, i) => String(i)), 'after all']);
    assert.throws(() => {
      for (;;) outbox.send(0);
    });
    const closed = { code: 'EBADF' };
    const late = [outbox.sendAsync(0), outbox.taken(), outbox.request([])];
    const told = late.map((call) => assert.rejects(call, closed));
    outbox.close();
    await Promise.all(told);
    assert.throws(() => outbox.send(0), closed);
    await assert.rejects(outbox.request([]), closed);
    assert.equal(outbox.fd, -1);
    inbox.close();
  },
);

test('a request and its answer, with descriptors both ways', LIMIT, async () => {
  const inbox = answering(echo);
  const file = memoryFile('shared');
  const outbox = await Outbox.open(process.pid);
  const answers = [
    await request(process.pid, file, { data: 'by pid' }),
    await outbox.request(file, { data: 'by outbox' }),
  ];
  const late = outbox.request(file, { data: 'by outbox, closed' });
  outbox.close(); // the answer comes by another way
  answers.push(await late);
  const said = answers.map((answer) => String(answer.data));
  assert.deepEqual(said, ['re: by pid', 're: by outbox', 're: by outbox, closed']);
  for (const answer of answers) {
    assert.equal(answer.pid, process.pid);
    assert.equal(answer.wantsReply, false);
    assert.equal(fs.fstatSync(answer.fds[0]).ino, fs.fstatSync(file).ino);
    answer.close();
  }
  assert.equal(readAll(file), 'shared');
  fs.closeSync(file);
  inbox.close();
});

test('1,000 requests in flight at once; aborted ones lose and leak nothing', LIMIT, async () => {
  const answerer = run(`
    const held = [];
    new sendfd.Inbox().on('parcel', (parcel) => {
      held.push(parcel);
      if (held.length === 1000) console.log('all are in flight');
    });
    process.stdin.once('data', () => {
      for (const parcel of held.reverse()) {
        try {
          parcel.reply(0, { data: parcel.data });
        } catch (error) {
          if (error.code !== 'EPIPE') throw error; // the asker has gone
        }
        parcel.close();
      }
    });
    console.log('open');`);
  await answerer.line();
  const outbox = await Outbox.open(answerer.pid);
  const before = countFds();
  const controllers = Array.from({ length: 1000 }, () => new AbortController());
  const answers = controllers.map(({ signal }, i) =>
    outbox.request([], { data: `number ${i}`, signal }),
  );
  const outcomes = Promise.allSettled(answers);
  assert.equal(await answerer.line(), 'all are in flight');
  await outbox.taken();
  for (let i = 0; i < 1000; i += 10) controllers[i].abort();
  answerer.child.stdin.write('go');
  for (const [i, outcome] of (await outcomes).entries()) {
    if (i % 10 === 0) {
      assert.equal(outcome.status, 'rejected');
      assert.equal(/** @type {any} */ (outcome).reason.code, 'ABORT_ERR');
    } else {
      const { value } = /** @type {PromiseFulfilledResult<import('..').Parcel>} */ (outcome);
      assert.equal(String(value.data), `number ${i}`);
      assert.equal(value.fds.length, 1);
      value.close();
    }
  }
  assert.equal(countFds(), before);
  outbox.close();
  answerer.child.kill();
});

test('no answer: closed, forgotten, dead, twice, too late', LIMIT, async () => {
  const gone = { code: 'ECONNRESET' };
  const inbox = answering((parcel) => {
    const how = String(parcel.data);
    if (how === 'twice') {
      parcel.reply([], { data: 'once' });
      assert.equal(parcel.wantsReply, false);
      assert.throws(() => parcel.reply(), { code: 'ERR_INVALID_STATE' });
    }
    if (how === 'again') {
      assert.throws(() => parcel.reply(999_999), { code: 'EBADF' });
      assert.equal(parcel.wantsReply, true, 'it may try again');
      parcel.reply([], { data: 'after an error' });
    }
    if (how !== 'late') parcel.close();
  });
  await assert.rejects(request(process.pid, [], { data: 'close' }), gone);
  assert.equal(String((await request(process.pid, [], { data: 'twice' })).data), 'once');
  assert.equal(String((await request(process.pid, [], { data: 'again' })).data), 'after an error');

  inbox.removeAllListeners('parcel');
  const late = request(process.pid, [], { data: 'late', timeout: 50 });
  const [parcel] = await once(inbox, 'parcel');
  await assert.rejects(late, { code: 'ETIMEDOUT', syscall: 'sendfd_outbox_request' });
  assert.throws(() => parcel.reply(0), { code: 'EPIPE' });
  assert.equal(parcel.wantsReply, false);
  parcel.close();

  send(process.pid, 0);
  const [plain] = await once(inbox, 'parcel');
  assert.equal(plain.wantsReply, false);
  assert.throws(() => plain.reply(0), { code: 'ERR_INVALID_STATE' });
  plain.close();
  inbox.close();

  const answerer = run(
    'new sendfd.Inbox().on("parcel", () => process.kill(process.pid, "SIGKILL")); console.log("open")',
  );
  await answerer.line();
  await assert.rejects(request(answerer.pid, []), gone);
  await assert.rejects(
    request(answerer.pid, []),
    ({ code }) => code === 'ESRCH' || code === 'ECONNREFUSED',
  );
});

test(
  'an answer with 252 descriptors into a full table is kept for another try',
  LIMIT,
  async () => {
    const answerer = answering((parcel) => {
      parcel.reply(Array(252).fill(0));
      parcel.close();
    });
    const asker = run(
      `
    const fs = require('node:fs');
    (async () => {
      const outbox = await sendfd.Outbox.open(${process.pid});
      const held = [];
      const asked = outbox.request([]);
      try { for (;;) held.push(fs.openSync('/dev/null')); } catch {}
      try { await asked; } catch (error) {
        const again = (() => { try { error.retry(); } catch (error) { return error; } })();
        for (const fd of held) fs.closeSync(fd);
        console.log(error.code, again.code, again.retry().fds.length);
      }
      process.exit();
    })();`,
      [],
      [],
      400,
    );
    assert.equal(await asker.line(), 'EMFILE EMFILE 252');
    answerer.close();
  },
);

test('answers long after, in another order', LIMIT, async () => {
  /** @type {import('..').Parcel[]} */
  const held = [];
  const inbox = answering((parcel) => held.push(parcel));
  const outbox = await Outbox.open(process.pid);
  const answers = [0, 1, 2].map((i) => outbox.request([], { data: String(i) }));
  await outbox.taken();
  for (const parcel of held.reverse()) parcel.reply(0, { data: parcel.data });
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    assert.equal(String(answer.data), String(i));
    answer.close();
  }
  for (const parcel of held) parcel.close();
  outbox.close();
  inbox.close();
});

test('it shows what matters; nobody else makes one', LIMIT, async () => {
  const inbox = new Inbox({ signo: 52 });
  const outbox = await Outbox.open(process.pid, { signo: 52 });
  assert.match(
    inspect(outbox),
    /^Outbox \{ to: \d+, signo: 52, fd: \d+, closed: false, waiting: 0 \}$/,
  );
  const Constructor = /** @type {any} */ (Outbox);
  assert.throws(() => new Constructor(), { code: 'ERR_ILLEGAL_CONSTRUCTOR' });
  outbox[Symbol.dispose]();
  assert.equal(outbox.closed, true);
  inbox.close();
});
