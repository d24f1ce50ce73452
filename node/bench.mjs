// What it costs to hand a connected socket to another process of Node on the same core and get it back:
// by sendfd, and by the IPC channel of child_process, as ratios within one run. Prints JSON, a line for each row.
//   node bench.mjs [SERIES]

import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { Inbox, send } from './lib/index.mjs';

const ROUNDS = 1000;
const SERIES = Number(process.argv[2] ?? 9);

/** What arrives goes back, and is closed here. */
function byParcel(parcel) {
  const socket = String(parcel.data) && parcel.socket();
  send(parcel.pid, socket || parcel.fds);
  if (socket) socket.destroy();
  else parcel.close();
}

if (process.send) {
  process.on('message', (_, socket) => process.send('back', socket));
  new Inbox().on('parcel', byParcel);
  process.send('ready');
} else {
  await main();
}

async function main() {
  execFileSync('taskset', ['-pc', '0', String(process.pid)], { stdio: 'ignore' });
  const child = fork(fileURLToPath(import.meta.url));
  await once(child, 'message');
  const inbox = new Inbox();
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect(server.address().port, '127.0.0.1');
  const [accepted] = await once(server, 'connection');
  let socket = accepted;

  const ipc = async () => {
    child.send('there', socket);
    [, socket] = await once(child, 'message');
  };
  const withSockets = async () => {
    send(child.pid, socket, { data: 'make a net.Socket' });
    socket.destroy();
    const [parcel] = await once(inbox, 'parcel');
    socket = parcel.socket();
  };
  const descriptors = async () => {
    send(child.pid, socket);
    const [parcel] = await once(inbox, 'parcel');
    parcel.close();
  };
  const time = async (round) => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < ROUNDS; i++) await round();
    return Number(process.hrtime.bigint() - start) / ROUNDS / 1000;
  };

  const compare = async (name, ours) => {
    await time(ipc);
    await time(ours);
    const found = [];
    for (let i = 0; i < SERIES; i++) {
      const [standard, own] = [await time(ipc), await time(ours)];
      found.push({ standard, own, ratio: own / standard });
    }
    const quartiles = (values) => {
      values.sort((a, b) => a - b);
      return [1, 2, 3].map((part) => values[Math.round(((values.length - 1) * part) / 4)]);
    };
    const row = (name, times, to) => {
      const ns = Math.round(quartiles(times)[1] * 1000);
      console.log(JSON.stringify({ group: 'node', parameter: '', name, ns, to }));
    };
    const ratios = quartiles(found.map(({ ratio }) => ratio));
    const standard = `child_process send, beside ${name}`;
    row(
      name,
      found.map(({ own }) => own),
      { [standard]: ratios },
    );
    row(
      standard,
      found.map((round) => round.standard),
      { [standard]: [1, 1, 1] },
    );
  };
  await compare('the descriptor', descriptors);
  await compare('a net.Socket at both ends', withSockets);
  child.kill();
  client.destroy();
  socket.destroy();
  server.close();
  inbox.close();
}
