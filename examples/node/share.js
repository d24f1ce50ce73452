// Descriptors by label: one process keeps them, any other of the same user fetches one by pid. It needs no
// ptrace right over the keeper, as pidfd_getfd would, and the keeper decides what it gives.
//
//   node share.js keep notes=/tmp/notes log=/var/log/syslog
//   node share.js fetch PID notes
//
// Usage: node share.js keep LABEL=FILE... | node share.js fetch PID LABEL

const fs = require('node:fs');
const { Inbox, request } = require('../../node'); // require('sendfd') where it is installed

function keep(files) {
  const kept = new Map(files.map(([label, file]) => [label, fs.openSync(file, 'r')]));
  new Inbox().on('parcel', (parcel) => {
    const fd = kept.get(String(parcel.data));
    if (parcel.wantsReply)
      parcel.reply(fd ?? [], { data: fd === undefined ? 'no such label' : '' });
    parcel.close();
  });
  console.log(`process ${process.pid} keeps ${[...kept.keys()].join(', ')}`);
}

async function fetch(pid, label) {
  const answer = await request(pid, [], { data: label });
  if (answer.fds.length === 0) throw new Error(String(answer.data));
  answer.readStream().pipe(process.stdout);
}

const [what, ...rest] = process.argv.slice(2);
if (what === 'keep') keep(rest.map((argument) => argument.split('=')));
else fetch(Number(rest[0]), rest[1]);
