// What users of TypeScript write, and what they must not.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import type { Descriptor, InboxOptions, SendfdError } from 'sendfd';
import sendfd, { handOver, Inbox, Outbox, Parcel, request, SIGNO, send, sendAsync } from 'sendfd';

export async function use(socket: net.Socket): Promise<void> {
  const child = spawn('cat');
  const handle = await fs.promises.open('/dev/null');
  const all: Descriptor[] = [
    0,
    { fd: 1 },
    handle,
    socket,
    net.createServer(),
    http.createServer(),
    createSocket('udp4'),
    fs.createReadStream('x'),
    fs.createWriteStream('x'),
    child.stdout,
    child.stdin,
    process.stdin,
    process.stdout,
  ];
  send(1, all, { data: 'text', unread: Buffer.alloc(1), signo: SIGNO });
  send(1, [0, 1] as const, { data: new DataView(new ArrayBuffer(1)) });
  sendfd.send(1, 0);
  const { signal } = new AbortController();
  await sendAsync(1, [], { timeout: 1, signal });

  // @ts-expect-error: no descriptor
  send(1, {});
  // @ts-expect-error: no descriptor
  send(1, { fd: '1' });
  // @ts-expect-error: the number has another name
  send(1, 0, { signal: 50 });
  // @ts-expect-error: send does not wait
  send(1, 0, { timeout: 1 });
  // @ts-expect-error: nobody else makes parcels
  new Parcel();
  // @ts-expect-error: opened by Outbox.open
  new Outbox();
  // @ts-expect-error: a signal is an AbortSignal
  new Inbox({ signal: 50 });

  const options: InboxOptions = { signo: 51, thread: true, signal, captureRejections: true };
  const inbox = new Inbox(options);
  inbox.on('parcel', (parcel) => {
    const fds: number[] = parcel.fds;
    const connected: net.Socket = parcel.socket({ allowHalfOpen: true });
    const server: https.Server = parcel.listen(https.createServer(), { backlog: 1 });
    parcel.connect(http2.createSecureServer());
    const { port } = parcel.datagram().address();
    if (parcel.wantsReply) parcel.reply(connected, { data: `${fds} ${port} ${server.listening}` });
  });
  inbox.on('error', (error) => {
    const { code, errno, syscall }: SendfdError = error;
    if (inbox.discard(error)) console.log(code, errno, syscall);
  });
  // @ts-expect-error: what a parcel has no such thing
  inbox.once('parcel', (parcel) => parcel.nothing);
  for await (const { data, unread, pid, uid, gid, signo } of inbox.serve(net.createServer())) {
    console.log(data.length + unread.length + pid + uid + gid + signo);
  }
  const tid: number | undefined = inbox.tid;

  const outbox = await Outbox.open(tid ?? 1, { signo: 51, timeout: 1, signal });
  outbox.send(0, { data: 'x' });
  await outbox.sendAsync([], { timeout: 1 });
  await outbox.taken({ timeout: 1, signal });
  const answers: Parcel[] = [await outbox.request([]), await request(1, 0, { signo: 51 })];
  // @ts-expect-error: an outbox has its number
  outbox.send(0, { signo: 51 });
  await handOver(http.createServer(), 1, { timeout: 1, signal, data: 'x' });
  for (const answer of answers) answer.close();
}
