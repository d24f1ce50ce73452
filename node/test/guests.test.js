// @ts-check
// Guests, addresses, and a directory.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Inbox, Outbox, request, send, sendAsync } = require('..');
const { LIMIT, run } = require('./common.js');

const GUEST = 1_000_000 + process.pid;
const asRoot = { ...LIMIT, skip: process.geteuid?.() !== 0 && 'needs root, to become other users' };

/** A process that becomes another user, and runs the script. @param {string} script @param {string[]} args */
function runAsGuest(script, ...args) {
  const become = `process.setgroups([]); process.setgid(${GUEST}); process.setuid(${GUEST});`;
  return run(`${become} (async () => { ${script} })();`, args);
}

for (const access of [{ users: [GUEST] }, { groups: [GUEST, 3] }, { anyone: true }]) {
  test(`a guest sends to ${JSON.stringify(access)}`, asRoot, async () => {
    const inbox = new Inbox({ signo: 57, ...access });
    const guest = runAsGuest(
      "await sendfd.sendAsync(Number(process.argv[1]), [], { data: 'hello', signo: 57 });",
      String(process.pid),
    );
    for await (const parcel of inbox) {
      assert.equal(parcel.data.toString(), 'hello');
      assert.equal(parcel.uid, GUEST);
      inbox.close();
    }
    assert.equal(await guest.ended, 0);
  });
}

test('a stranger is turned away', asRoot, async () => {
  const inbox = new Inbox({ signo: 57, users: [GUEST + 1] });
  inbox.on('parcel', () => assert.fail('from a stranger'));
  const stranger = runAsGuest(
    'await sendfd.sendAsync(process.argv[1], []).catch((error) => console.log(error.code));',
    String(inbox.address),
  );
  assert.equal(await stranger.line(), 'EPERM');
  assert.equal(await stranger.ended, 0);
  inbox.close();
});

test('a guest has an outbox, and asks', asRoot, async () => {
  const inbox = new Inbox({ signo: 57, users: [GUEST] });
  const guest = runAsGuest(
    `const outbox = await sendfd.Outbox.open(process.argv[1]);
    await outbox.sendAsync([], { data: '1' });
    await outbox.taken();
    console.log((await outbox.request([], { data: '2' })).data.toString());
    console.log((await sendfd.request(process.argv[1], [], { data: '3' })).data.toString());
    outbox.close();`,
    String(inbox.address),
  );
  const seen = [];
  for await (const parcel of inbox) {
    seen.push(parcel.data.toString());
    if (parcel.wantsReply) parcel.reply([], { data: `answer to ${parcel.data}` });
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, ['1', '2', '3']);
  assert.equal(await guest.line(), 'answer to 2');
  assert.equal(await guest.line(), 'answer to 3');
  assert.equal(await guest.ended, 0);
  inbox.close();
});

test('an address goes wherever a pid does', LIMIT, async () => {
  const inbox = new Inbox({ signo: 58 });
  const address = String(inbox.address);
  assert.match(address, /^sendfd\.1\/[0-9.]+\/58$/);
  send(address, [], { data: '1' });
  await sendAsync(address, [], { data: '2' });
  const outbox = await Outbox.open(address);
  assert.deepEqual([outbox.to, outbox.signo], [address, 58]);
  outbox.send([], { data: '3' });
  const asked = request(address, [], { data: '4' });
  let count = 0;
  for await (const parcel of inbox) {
    assert.equal(parcel.data.toString(), String(++count));
    if (parcel.wantsReply) parcel.reply([], { data: 'yes' });
    if (count === 4) break;
  }
  assert.equal((await asked).data.toString(), 'yes');
  outbox.close();
  inbox.close();
  assert.equal(inbox.address, undefined);
  assert.throws(() => send(address, []), { code: 'ECONNREFUSED' });
  for (const text of ['', '50', 'sendfd.1/7', 'sendfd.1/7/x']) {
    assert.throws(() => send(text, []), { code: 'EINVAL' });
  }
});

test('nonsense in options', () => {
  for (const users of [7, ['root'], [-1], [1.5]]) {
    // @ts-expect-error: what it is about
    assert.throws(() => new Inbox({ users }), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  // @ts-expect-error: what it is about
  assert.throws(() => new Inbox({ directory: 7 }), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => new Inbox({ signo: 57, groups: [65534] }), { code: 'EINVAL' });
});

test('an inbox in a directory', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sendfd-'));
  const inbox = new Inbox({ signo: 57, directory });
  const file = path.join(directory, String(inbox.address).replaceAll('/', '.'));
  assert.ok(fs.statSync(file).isSocket());
  inbox.close();
  fs.rmdirSync(directory);
  assert.throws(() => new Inbox({ signo: 57, directory }), { code: 'ENOENT' });
});
