// The contract of the matrix in Node; see run.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { Inbox, Outbox, sendAsync } = require('../../node');

const countFds = () => fs.readdirSync('/proc/self/fd').length;

function files(nfds) {
  return Array.from({ length: nfds }, (_, index) => {
    const file = path.join(os.tmpdir(), `sendfd-matrix.${process.pid}.${index}`);
    fs.writeFileSync(file, `${index}-of-${process.pid}`);
    const fd = fs.openSync(file, 'r');
    fs.unlinkSync(file);
    return fd;
  });
}

const counting = (length) => Buffer.from(Array.from({ length }, (_, i) => i % 256));

function contents(fds) {
  return fds.map((fd) => {
    const bytes = Buffer.alloc(64);
    return bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, 64, 0));
  });
}

async function send(pid, signo, nfds, length, count) {
  const fds = files(nfds);
  const data = counting(length);
  for (let index = 0; index < count; index++) {
    data.write(String(index).padStart(8, '0').slice(0, length));
    await sendAsync(pid, fds, { data, signo, timeout: 20_000 });
  }
  console.log('sent', process.pid);
}

async function ask(pid, signo, nfds, length, count) {
  const fds = files(nfds);
  const right = contents(fds).join();
  const data = counting(length);
  const outbox = await Outbox.open(pid, { signo, timeout: 20_000 });
  await outbox.sendAsync([], { data, timeout: 20_000 });
  for (let index = 0; index < count; index++) {
    data.write(String(index).padStart(8, '0').slice(0, length));
    const answer = await outbox.request(fds, { data, timeout: 20_000 });
    const reversed = Buffer.from(data).reverse();
    if (contents(answer.fds).join() !== right || !answer.data.equals(reversed)) {
      console.log('another answer');
    }
    answer.close();
  }
  await outbox.taken({ timeout: 20_000 });
  outbox.close();
  console.log('asked', process.pid);
}

function describe(parcel) {
  const texts = contents(parcel.fds);
  const { pid, uid, gid, signo, data } = parcel;
  if (parcel.wantsReply) {
    parcel.reply(parcel.fds, { data: Buffer.from(data).reverse() });
  }
  parcel.close();
  return [pid, uid, gid, signo, `-${data.toString('hex')}`, ...texts].join(' ');
}

async function receive(signo) {
  void process.stdout; // has a descriptor of its own from its first use
  const before = countFds();
  // process.stdin would leave a descriptor of its own when it ends.
  const input = fs.createReadStream('', { fd: 0, autoClose: false });
  const inbox = new Inbox({ signo });
  const parcels = inbox[Symbol.asyncIterator]();
  console.log('open', process.pid);
  for await (const line of createInterface({ input })) {
    const taken = [];
    for (let left = Number(line); left > 0; left--) {
      taken.push(describe((await parcels.next()).value));
    }
    console.log(taken.join('\n'));
  }
  inbox.close();
  console.log('closed', countFds() - before);
}

const [what, ...numbers] = process.argv.slice(2);
({ send, ask, receive })[what](...numbers.map(Number)).catch((error) => {
  console.log('error', error.code, error.message);
});
