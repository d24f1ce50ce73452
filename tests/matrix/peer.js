// The contract of the matrix in Node; see run.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { Inbox, sendAsync } = require('../../node');

const countFds = () => fs.readdirSync('/proc/self/fd').length;

async function send(pid, signo, nfds, length, count) {
  const fds = Array.from({ length: nfds }, (_, index) => {
    const file = path.join(os.tmpdir(), `sendfd-matrix.${process.pid}.${index}`);
    fs.writeFileSync(file, `${index}-of-${process.pid}`);
    const fd = fs.openSync(file, 'r');
    fs.unlinkSync(file);
    return fd;
  });
  const data = Buffer.from(Array.from({ length }, (_, i) => i % 256));
  for (let index = 0; index < count; index++) {
    data.write(String(index).padStart(8, '0').slice(0, length));
    await sendAsync(pid, fds, { data, signo, timeout: 20_000 });
  }
  console.log('sent', process.pid);
}

function describe(parcel) {
  const texts = parcel.fds.map((fd) => {
    const bytes = Buffer.alloc(64);
    return bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, 64, 0));
  });
  const { pid, uid, gid, signo, data } = parcel;
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
({ send, receive })[what](...numbers.map(Number)).catch((error) => {
  console.log('error', error.code, error.message);
});
