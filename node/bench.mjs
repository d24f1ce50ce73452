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

/** What Node makes of a descriptor that somebody else has opened, with nothing around it. */
const { TCP, constants } = process.binding('tcp_wrap');

/** How a socket is made of what has come, by the data that came with it. */
const MAKE = {
  socket: (parcel) => parcel.socket(),
  plain: (parcel) => {
    const handle = new TCP(constants.SOCKET);
    handle.open(parcel.take()[0]);
    return new net.Socket({ handle, readable: true, writable: true });
  },
};

/** What arrives goes back, and is closed here. */
function byParcel(parcel) {
  const make = MAKE[String(parcel.data)];
  if (!make) {
    send(parcel.pid, parcel.fds);
    parcel.close();
    return;
  }
  const socket = make(parcel);
  send(parcel.pid, socket);
  socket.destroy();
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
  const sockets = (data) => async () => {
    send(child.pid, socket, { data });
    socket.destroy();
    const [parcel] = await once(inbox, 'parcel');
    socket = MAKE[data](parcel);
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

  const quartiles = (values) => {
    values.sort((a, b) => a - b);
    return [1, 2, 3].map((part) => values[Math.round(((values.length - 1) * part) / 4)]);
  };
  /** They take turns with child_process, and are compared turn by turn. */
  const compare = async (what, ways) => {
    const standard = `child_process send, beside ${what}`;
    const all = { ...ways, [standard]: ipc };
    const times = Object.fromEntries(Object.keys(all).map((name) => [name, []]));
    for (const way of Object.values(all)) await time(way);
    for (let i = 0; i < SERIES; i++) {
      for (const [name, way] of Object.entries(all)) times[name].push(await time(way));
    }
    for (const [name, of] of Object.entries(times)) {
      const to = { [standard]: quartiles(of.map((us, turn) => us / times[standard][turn])) };
      const ns = Math.round(quartiles([...of])[1] * 1000);
      console.log(JSON.stringify({ group: 'node', parameter: '', name, ns, to }));
    }
  };
  await compare('the descriptor', { 'the descriptor': descriptors });
  await compare('a net.Socket at both ends', {
    'a net.Socket at both ends': sockets('socket'),
    'the same, made by Node alone': sockets('plain'),
  });
  child.kill();
  client.destroy();
  socket.destroy();
  server.close();
  inbox.close();
}
