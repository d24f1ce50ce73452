// @ts-check
// Parcels that cannot be taken hold up nobody else.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Outbox } = require('..');
const { LIMIT, run } = require('./common.js');

/** A receiver with a small table: it says what came, and what could not. @param {string} take */
function receiver(take) {
  const script = `
    const inbox = new sendfd.Inbox();
    ${take}
    console.log('open');`;
  return run(script, [], [], 60);
}

test(
  'others are received; what was kept is discarded, or comes when there is room',
  LIMIT,
  async () => {
    const { pid, line, child } = receiver(`
    inbox.on('error', (error) => {
      console.log(error.code, error.syscall, typeof error.id);
      process.stdin.once('data', () => {
        console.log(inbox.discard(error), inbox.discard(error));
        try { inbox.discard(new Error('another')); } catch (error) { console.log(error.code); }
      });
    });
    inbox.on('parcel', (parcel) => { console.log(String(parcel.data)); parcel.close(); });`);
    await line();
    const [one, other] = [await Outbox.open(pid), await Outbox.open(pid)];
    one.send(Array(100).fill(0), { data: 'too large' });
    assert.equal(await line(), 'EMFILE sendfd_recv number');
    one.send(0, { data: 'behind it' });
    for (let i = 0; i < 5; i++) {
      other.send(0, { data: `of another ${i}` });
      assert.equal(await line(), `of another ${i}`);
    }
    await assert.rejects(one.taken({ timeout: 0 }), { code: 'ETIMEDOUT' });
    child.stdin.write('discard');
    assert.equal(await line(), 'true false');
    assert.equal(await line(), 'ERR_INVALID_ARG_VALUE');
    assert.equal(await line(), 'behind it');
    await one.taken();
    child.kill();
    one.close();
    other.close();
  },
);

test(
  'it is told once, costs little, and comes without a word when there is room',
  LIMIT,
  async () => {
    const { pid, line, child } = receiver(`
    const fs = require('node:fs');
    let errors = 0;
    const take = async () => {
      const iterator = inbox[Symbol.asyncIterator]();
      for (;;) {
        try {
          const { value } = await iterator.next();
          console.log(String(value.data), value.fds.length, errors);
          value.close();
        } catch { errors++; }
      }
    };
    take();
    const held = [];
    try { while (held.length < 100) held.push(fs.openSync('/dev/null')); } catch {}
    for (const fd of held.splice(0, 10)) fs.closeSync(fd);
    process.stdin.once('data', () => {
      const { user, system } = process.cpuUsage();
      setTimeout(() => {
        const used = process.cpuUsage({ user, system });
        console.log(used.user + used.system < 100_000);
        for (const fd of held) fs.closeSync(fd);
      }, 500);
    });`);
    await line();
    const outbox = await Outbox.open(pid);
    outbox.send(Array(20).fill(0), { data: 'twenty' });
    child.stdin.write('measure');
    assert.equal(await line(), 'true', 'it does not spin');
    assert.equal(await line(), 'twenty 20 1');
    child.kill();
    outbox.close();
  },
);
