// What works in the runtime that runs this: a line for each step, "works" or why it does not.

const { spawn } = require('node:child_process');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { Inbox, Outbox, handOver, request, send, sendAsync } = require('../..');

const LIMIT_MS = 10_000;
const ROOT = path.join(__dirname, '../..');

/** Sends to this process and receives. */
async function through(fds, options) {
  const inbox = new Inbox();
  try {
    send(process.pid, fds, options);
    return (await once(inbox, 'parcel'))[0];
  } finally {
    inbox.close();
  }
}

async function listening(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

async function readAll(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

function same(found, expected) {
  if (found !== expected) throw new Error(`${found}, not ${expected}`);
}

/** Two ends of a connection. */
async function connection() {
  const server = net.createServer({ pauseOnConnect: true });
  const port = await listening(server);
  const client = net.connect(port, '127.0.0.1');
  const [accepted] = await once(server, 'connection');
  server.close();
  return [client, accepted];
}

const STEPS = {
  async 'files, by number'() {
    const fd = fs.openSync(__filename, 'r');
    const parcel = await through([fd, fd], { data: 'some bytes' });
    fs.closeSync(fd);
    same(String(parcel.data), 'some bytes');
    same(parcel.pid, process.pid);
    for (const taken of parcel.fds) same(fs.readlinkSync(`/proc/self/fd/${taken}`), __filename);
    parcel.close();
  },
  async 'readStream, writeStream'() {
    const file = `/dev/shm/sendfd-steps-${process.pid}`;
    try {
      const out = await through(fs.openSync(file, 'w'));
      const stream = out.writeStream();
      stream.end('written');
      await once(stream, 'close');
      const back = await through(fs.openSync(file, 'r'));
      same(await readAll(back.readStream()), 'written');
    } finally {
      fs.rmSync(file);
    }
  },
  async 'events and for await, many parcels'() {
    const inbox = new Inbox();
    for (let i = 0; i < 100; i++) send(process.pid, 0, { data: String(i) });
    let count = 0;
    for await (const parcel of inbox) {
      same(String(parcel.data), String(count++));
      parcel.close();
      if (count === 50) break;
    }
    await new Promise((resolve) => {
      inbox.on('parcel', (parcel) => {
        parcel.close();
        if (++count === 100) resolve();
      });
    });
    inbox.close();
  },
  async 'sendAsync waits for room'() {
    const inbox = new Inbox();
    try {
      for (;;) send(process.pid, 0);
    } catch (error) {
      same(error.code, 'EAGAIN');
    }
    const sent = sendAsync(process.pid, 0, { data: 'last' });
    for await (const parcel of inbox) {
      parcel.close();
      if (String(parcel.data) === 'last') break;
    }
    await sent;
    inbox.close();
  },
  async 'Outbox, taken, request'() {
    const inbox = new Inbox();
    const outbox = await Outbox.open(process.pid);
    outbox.send(0);
    const taken = outbox.taken();
    inbox.on('parcel', (parcel) => {
      if (parcel.wantsReply) parcel.reply(0, { data: parcel.data });
      parcel.close();
    });
    await taken;
    for (const asked of [
      outbox.request([], { data: 'a' }),
      request(process.pid, [], { data: 'a' }),
    ]) {
      const answer = await asked;
      same(String(answer.data), 'a');
      answer.close();
    }
    outbox.close();
    inbox.close();
  },
  async 'parcel.socket()'() {
    const [client, accepted] = await connection();
    const parcel = await through(accepted);
    accepted.destroy();
    const socket = parcel.socket();
    socket.once('data', (chunk) => socket.end(`heard ${chunk}`));
    client.write('a word');
    same(await readAll(client), 'heard a word');
  },
  async 'parcel.server(), parcel.listen()'() {
    const first = net.createServer();
    const port = await listening(first);
    const parcel = await through(first);
    first.close();
    const server = parcel.server({}, (socket) => socket.end('accepted'));
    same(await readAll(net.connect(port, '127.0.0.1')), 'accepted');
    server.close();
  },
  async 'connections for a server of net, inbox.serve()'() {
    const inbox = new Inbox();
    inbox.serve(net.createServer((socket) => socket.end('served')));
    const [client, accepted] = await connection();
    try {
      send(process.pid, accepted);
      accepted.destroy();
      same(await readAll(client), 'served');
    } finally {
      inbox.close();
    }
  },
  async 'handOver() of a server of net'() {
    const inbox = new Inbox();
    const next = net.createServer((socket) => socket.end('the next'));
    inbox.serve(next);
    const server = net.createServer();
    const port = await listening(server);
    try {
      await handOver(server, process.pid);
      same(await readAll(net.connect(port, '127.0.0.1')), 'the next');
    } finally {
      inbox.close();
    }
    next.close();
  },
  async 'servers of http'() {
    const next = http.createServer((_, response) => response.end('the next'));
    const server = http.createServer();
    const port = await listening(server);
    const inbox = new Inbox();
    try {
      inbox.serve(next);
      await handOver(server, process.pid);
      const [response] = await once(
        http.get({ port, host: '127.0.0.1', agent: false }),
        'response',
      );
      same(await readAll(response), 'the next');
    } finally {
      inbox.close();
    }
    next.close();
  },
  async 'parcel.datagram()'() {
    const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const { port } = udp.address();
    const parcel = await through(udp);
    const other = parcel.datagram();
    same(other.address().port, port);
    other.close();
    udp.close();
  },
  async 'inboxes of worker threads'() {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
      const { Inbox } = require(${JSON.stringify(ROOT)});
      new Inbox({ signo: 51 }).once('parcel', function (parcel) {
        parentPort.postMessage(String(parcel.data));
        parcel.close();
        this.close();
      });
      parentPort.postMessage('open');`,
      { eval: true },
    );
    await once(worker, 'message');
    const said = once(worker, 'message');
    send(process.pid, 0, { signo: 51, data: 'to the worker' });
    same((await said)[0], 'to the worker');
    await worker.terminate();
  },
  async 'an open inbox keeps the process alive, one that is unref-ed does not'() {
    const use = `const { Inbox } = require(${JSON.stringify(ROOT)});`;
    const args = process.versions.deno ? ['eval', '--ext=cjs'] : ['-e'];
    const ends = async (script) => {
      const child = spawn(process.execPath, [...args, use + script], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const timer = setTimeout(() => child.kill('SIGKILL'), 2000);
      const [code] = await once(child, 'exit');
      clearTimeout(timer);
      return code;
    };
    const [unref, open] = [ends('new Inbox().unref()'), ends('new Inbox({ signo: 51 })')];
    same(await unref, 0);
    same(await open, null);
  },
};

async function main() {
  for (const [name, step] of Object.entries(STEPS)) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('hangs')), LIMIT_MS);
    });
    const outcome = await Promise.race([step(), late]).then(
      () => 'works',
      (error) => `${error?.code ?? ''} ${error?.message ?? error}`.trim(),
    );
    clearTimeout(timer);
    console.log(`${name}: ${outcome}`);
  }
  process.exit();
}

main();
