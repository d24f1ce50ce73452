/// <reference types="node" />
import type { Socket as DatagramSocket, SocketOptions } from 'node:dgram';
import type { EventEmitter } from 'node:events';
import type { ReadStream, WriteStream } from 'node:fs';
import type { Server, ServerOpts, Socket, SocketConstructorOpts } from 'node:net';
import type { Readable, Writable } from 'node:stream';

/** The signal number to use when there is no reason for another. */
export const SIGNO: number;
/** Descriptors in one parcel at most. */
export const MAX_FDS: number;
/** Bytes in one parcel at most. */
export const MAX_DATA: number;
/** The version of this package. */
export const version: string;

/**
 * A descriptor: its number, or an open object that has one: a FileHandle, a socket, a server, a stream
 * of fs, an end of a child (`child.stdout`), a terminal.
 */
export type Descriptor =
  | number
  | { readonly fd: number }
  | Readable
  | Writable
  | Socket
  | Server
  | DatagramSocket
  | ReadStream
  | WriteStream;

export interface SendOptions {
  /**
   * Bytes that travel with the descriptors; a string goes as UTF-8. At most MAX_DATA. They may be
   * changed as soon as the call has returned.
   */
  data?: string | NodeJS.ArrayBufferView;
  /**
   * Bytes that have been read already from the connection that is sent first: what `socket.read()` or
   * a 'data' event gave. The receiver's `parcel.socket()` gives them before all others. With the data
   * and 20 bytes more at most MAX_DATA. They travel behind the data, where programs in other languages
   * than JavaScript have to cut them off: see README.
   */
  unread?: string | NodeJS.ArrayBufferView;
  /** The signal number of the receiver's inbox. Default: SIGNO. */
  signo?: number;
}

export interface WaitOptions {
  /** Milliseconds to wait; 0: not at all. Default: for ever. */
  timeout?: number;
  /** Ends the call, which rejects with AbortError (code ABORT_ERR). Nothing has been sent then. */
  signal?: AbortSignal;
}

export interface SendAsyncOptions extends SendOptions, WaitOptions {}

/** What failed calls throw or reject with: like the errors of Node's own calls. */
export interface SendfdError extends Error {
  /** Such as 'ECONNREFUSED'. */
  code: string;
  /** The error number, negative. */
  errno: number;
  /** The call that failed, as C names it. */
  syscall: string;
  /** Of a parcel that could not be taken, and is kept: no other of its inbox has it. */
  id?: number;
}

/**
 * A pid, a tid, or the address of an inbox, `inbox.address`, which has a signal number of its own: `signo` is
 * not looked at then.
 */
export type Recipient = number | string;

/**
 * Queues descriptors, and bytes, to a process, or to a single thread by its tid. Never waits. There may
 * be none: a bare message.
 *
 * The descriptors stay yours and may be closed as soon as this returns. Success means that the kernel
 * holds them in the receiver's queue, whatever becomes of this process; not that the receiver has
 * taken them, or will.
 *
 * Linux 5.3 or newer.
 *
 * @throws {SendfdError} ESRCH no such process; ECONNREFUSED it has no inbox for this signal number, or
 *   not yet; EPERM not allowed to signal it, and no guest of its
 *   inbox; EAGAIN its queue is full, or it has not let in this guest yet; EBADF a descriptor, or an object
 *   that had one, is not open; EINVAL no or too many descriptors, one of a kind that cannot be passed,
 *   or a pid or signal number that is none; EMSGSIZE too many bytes; ETOOMANYREFS too many descriptors
 *   of this user are in flight; EMFILE, ENFILE none left for the connection.
 * @throws {TypeError} ERR_INVALID_ARG_TYPE; ERR_INVALID_ARG_VALUE an option that is not known, or what
 *   TLS is spoken on, whose keys cannot be sent.
 */
export function send(
  to: Recipient,
  fd: Descriptor | readonly Descriptor[],
  options?: SendOptions,
): void;

/**
 * The same, but waits for room in a full queue without holding up the event loop.
 *
 * Keep the descriptors open until it has settled. Parcels to one recipient leave in the order of the
 * calls of sendAsync.
 *
 * Rejects as send throws, but never with EAGAIN; with ETIMEDOUT when there was no room in time.
 */
export function sendAsync(
  to: Recipient,
  fd: Descriptor | readonly Descriptor[],
  options?: SendAsyncOptions,
): Promise<void>;

export interface OutboxOptions extends WaitOptions {
  /** The signal number of the receiver's inbox. Default: SIGNO. */
  signo?: number;
}

export interface RequestOptions extends SendAsyncOptions {}

/** What there was no room for: the answer is kept. */
export interface AnswerError extends SendfdError {
  /** With code EMFILE or ENFILE: gives the answer, or throws the same again. */
  retry?(): Parcel;
}

/**
 * A link to the inbox of one task, which tells what became of the parcels that went over it.
 *
 * It leads to that inbox and to no other: once the inbox is closed or its process dead, sending gives
 * EPIPE. Parcels of one outbox keep their order; between them and those of send() there is none.
 */
export class Outbox {
  private constructor();
  /**
   * Connects to the inbox of a process, or of a thread by its tid. Waits for it to be opened, for ever
   * unless a timeout is given. A guest that the inbox has not let in yet waits for that with its first parcel.
   *
   * Rejects with ESRCH as soon as there is no such task any more; ETIMEDOUT it had no inbox in time;
   * ECONNREFUSED it has none, with a timeout of 0; EPERM, EMFILE, ENFILE as send throws.
   */
  static open(to: Recipient, options?: OutboxOptions): Promise<Outbox>;
  get to(): Recipient;
  get signo(): number;
  get closed(): boolean;
  /** Polls writable while there is room, and hangs up with the receiver; -1 once closed. It stays the outbox's. */
  get fd(): number;
  /**
   * Queues a parcel, as send() does.
   *
   * @throws {SendfdError} EPIPE the inbox is closed, or its process dead; EBADF the outbox is closed;
   *   EAGAIN, EINVAL, EMSGSIZE, ETOOMANYREFS as send throws.
   */
  send(fd: Descriptor | readonly Descriptor[], options?: Omit<SendOptions, 'signo'>): void;
  /** The same, but waits for room. Calls that wait leave in their order. */
  sendAsync(
    fd: Descriptor | readonly Descriptor[],
    options?: Omit<SendAsyncOptions, 'signo'>,
  ): Promise<void>;
  /**
   * Resolves when the receiver has taken everything that was sent through this outbox: it is out of the
   * queue and in that process's hands, or was discarded by it on purpose. Not: used.
   *
   * Rejects with ECONNRESET when the inbox was closed or its process died with something untaken, which
   * the kernel has released; ETIMEDOUT not in time; EBADF the outbox was closed.
   */
  taken(options?: WaitOptions): Promise<void>;
  /**
   * Sends a parcel that asks for an answer, and resolves with it. Any number may be in flight. One that
   * was aborted or too late stays sent, if it was; its answer is released. Closing the outbox does not
   * end the wait for an answer.
   *
   * Rejects as sendAsync does; with ECONNRESET when there will be no answer: the receiver has closed the
   * parcel unanswered, or has died; with an AnswerError, code EMFILE or ENFILE, when there was no room for
   * the descriptors of the answer.
   */
  request(
    fd: Descriptor | readonly Descriptor[],
    options?: Omit<RequestOptions, 'signo'>,
  ): Promise<Parcel>;
  /** What was sent stays sent. Calls that wait for room, or for what was sent to be taken, reject with EBADF. */
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * Asks a process, or a thread by its tid, and resolves with the answer: see Outbox.request. Its inbox must
 * be open: ECONNREFUSED. Between requests, and other parcels, there is no order.
 */
export function request(
  to: Recipient,
  fd: Descriptor | readonly Descriptor[],
  options?: RequestOptions,
): Promise<Parcel>;

export interface HandOverOptions extends WaitOptions {
  /** Bytes that travel with the listener. */
  data?: string | NodeJS.ArrayBufferView;
  /** The signal number of the successor's inbox. Default: SIGNO. */
  signo?: number;
}

/**
 * Gives the listener of a server (of net, http, https, http2 or tls) to another process, which makes a
 * server of it by `inbox.serve(server)` or `parcel.listen(server)`, and resolves when this server has
 * answered all that it has and is closed. No client is refused or reset meanwhile.
 *
 * It waits for the other's inbox to be opened, and until the other has taken the listener; so long both
 * accept. Then this server stops accepting. With the next answer it tells the clients of HTTP that their
 * connection ends; those that ask nothing more are left when the server's keepAliveTimeout is over. Connections
 * that are no HTTP, such as WebSockets, end when their users end them. The path of a UNIX listener stays.
 *
 * Rejects, and the server goes on as before, with ESRCH, ETIMEDOUT, ECONNRESET and so on as Outbox.open and
 * Outbox.taken; with ERR_SERVER_NOT_RUNNING; with ERR_INVALID_STATE where it listens through the primary of
 * node:cluster, which has the listener. `timeout` is for the other to take the listener. After that only
 * `signal` ends the call, and leaves the server to answer what it has.
 */
export function handOver(server: Server, to: Recipient, options?: HandOverOptions): Promise<void>;

/**
 * Received descriptors, the bytes that came with them, and who sent them.
 *
 * It owns its descriptors until they are taken out; close() closes the others. One that is forgotten
 * is closed when it is collected, with a process warning. What the descriptors refer to is shared with
 * the sender, offset and O_NONBLOCK included, as after dup().
 *
 * The methods that make something of the first descriptor throw TypeError, code ERR_INVALID_FD_TYPE,
 * where it is of another kind, and Error, code ERR_INVALID_STATE, where none is left. Whatever they
 * throw, the descriptor stays in the parcel; after an error in options that Node looks at late, under
 * another number (and if there is no room for one, it has been closed).
 */
export class Parcel {
  private constructor();
  /** The descriptors it still owns, in the order in which they were sent; close-on-exec. */
  readonly fds: number[];
  readonly data: Buffer;
  /** What the sender had read from the first one already; socket() gives it first, and empties this. */
  readonly unread: Buffer;
  /** The sender's process, from the kernel; 0 if it is not visible in this pid namespace. */
  readonly pid: number;
  /** The sender's real user, as the kernel recorded it at the send. */
  readonly uid: number;
  /** The sender's real group, likewise. */
  readonly gid: number;
  /** The signal number it was sent with. */
  readonly signo: number;
  /** Whether its sender awaits an answer, and has none yet. */
  readonly wantsReply: boolean;
  /**
   * Answers its sender, once, at any time. The descriptors stay yours. Closing the parcel unanswered tells
   * the sender so at once.
   *
   * @throws {SendfdError} EPIPE the sender waits no more; EBADF, EINVAL, EMSGSIZE, ETOOMANYREFS as send
   *   throws: another answer may be given.
   * @throws {Error} ERR_INVALID_STATE none is wanted, or one was given.
   */
  reply(fd?: Descriptor | readonly Descriptor[], options?: Omit<SendOptions, 'signo'>): void;
  /** The descriptors become the caller's. */
  take(): number[];
  /** The first descriptor as a connected socket, or an end of a pipe, which owns it from now on. */
  socket(options?: Omit<SocketConstructorOpts, 'fd'>): Socket;
  /** The first descriptor as a listening server, which owns it from now on. As listen() does. */
  server(options?: ServerOpts, onConnection?: (socket: Socket) => void): Server;
  /**
   * Has a server listen on the first descriptor, which it owns from now on: one of net, http, https,
   * http2 or tls that does not listen yet. It emits 'listening' in the next turn. Also in a worker of
   * node:cluster, whose primary has no part in it. The path of a UNIX listener stays when it is closed.
   *
   * @param options.backlog The length of the accept queue, for all who share this listener. Default: 511,
   *   as everywhere in Node.
   * @throws ERR_SERVER_ALREADY_LISTEN
   */
  listen<S extends Server>(server: S, options?: { backlog?: number }): S;
  /**
   * Gives a server one connection, the first descriptor, as if it had accepted it. It need not listen:
   * one of HTTP looks for requests that take too long, and can closeAllConnections(), all the same.
   */
  connect(server: Server): Socket;
  /**
   * The first descriptor as a socket of UDP, which owns it from now on, and is bound already: it emits
   * no 'listening'. `type` is that of the descriptor.
   */
  datagram(options?: Partial<SocketOptions>): DatagramSocket;
  /** The first descriptor as a stream, which owns it from now on. */
  readStream(options?: { start?: number; end?: number; highWaterMark?: number }): ReadStream;
  /** The first descriptor as a stream, which owns it from now on. */
  writeStream(options?: { start?: number; highWaterMark?: number }): WriteStream;
  /** Closes what it still owns; an answer that is still wanted will not come. */
  close(): void;
  [Symbol.dispose](): void;
}

export interface InboxOptions {
  /** What senders have to name. Default: SIGNO. No signal is delivered: the event loop is told. */
  signo?: number;
  /** Addressed by the id of the calling thread, `inbox.tid`, instead of the process. */
  thread?: boolean;
  /**
   * Users that may send beside root and this process's own, by number: guests. A guest's first send gives
   * EAGAIN, or waits, until this inbox has looked for mail, which it does while somebody wants parcels; who is
   * not let in gets EPERM. At most 16 connections of one user are held, and 1,024 of all guests, or as many as
   * a quarter of RLIMIT_NOFILE. 65534, as which users without a number are shown, is nobody's: EINVAL.
   */
  users?: number[];
  /** Groups whose members may send, likewise. */
  groups?: number[];
  /** Any user of this machine may send. */
  anyone?: boolean;
  /**
   * Where it listens as well, for senders in other network namespaces. Default: $SENDFD_DIR, or /run/sendfd if
   * that is there; '': nowhere.
   */
  directory?: string;
  /** Closes the inbox. */
  signal?: AbortSignal;
  /** As for any EventEmitter: what an async listener rejects with becomes an 'error'. */
  captureRejections?: boolean;
}

/**
 * Receives what is sent to this process, or thread, with one signal number.
 *
 * Parcels come to 'parcel' listeners, or to `for await`; an iterator that waits comes first. None is
 * taken from the kernel before somebody wants it. An open inbox keeps the process alive, unless
 * unref() was called.
 *
 * 'error' is emitted, or an iterator rejects, for what cannot be taken: EMFILE, ENFILE no room for the
 * descriptors of a parcel; EACCES a security module refuses one of them. The parcel is kept, and holds up
 * nobody but its sender: `discard(error)` throws it away. It is told once, and tried again when a parcel of this
 * inbox is closed, or a socket, server or stream that came from one, at resume(), and ten times a second;
 * so long others' parcels may come that much later. EPROTO: a peer of another version, which has been
 * shut out.
 *
 * Each worker can have its own, for signal numbers of their own or with `thread`.
 *
 * The channels 'sendfd:send' ({ to, signo, fds, data }) and 'sendfd:parcel' ({ inbox, parcel }) of
 * node:diagnostics_channel tell what has been sent, and what has been taken.
 */
export class Inbox extends EventEmitter implements AsyncIterable<Parcel> {
  /**
   * @throws {SendfdError} EADDRINUSE there is one for this signal number already, or another user
   *   squats on its name; EINVAL not a real-time signal number; EMFILE, ENFILE no descriptors left.
   * @throws AbortError the signal is aborted already.
   */
  constructor(options?: InboxOptions);
  get signo(): number;
  /** With `thread`: what senders name. */
  get tid(): number | undefined;
  /**
   * Text that names this inbox on this machine; undefined once closed. It is no secret and gives no permission.
   * Whoever has it can send without seeing the pid.
   */
  get address(): string | undefined;
  get closed(): boolean;
  /** The descriptor that polls readable while there is mail; -1 once closed. It stays the inbox's. */
  get fd(): number;
  /**
   * Gives a server all that is sent here: it listens on listeners, and is connected to connections. A
   * parcel with anything else, or a second listener, is closed and reported: by 'error' where somebody
   * listens to it, else by a process warning.
   */
  serve(server: Server): this;
  /** Releases what nobody has taken; ends all iterations; emits 'close'. */
  close(): void;
  ref(): this;
  unref(): this;
  /** Tries again at once what could not be taken, and tells of it again. */
  resume(): this;
  /**
   * Throws away the parcel that an error of this inbox told of; its descriptors are released unseen, and what
   * its sender sent after it comes. False: it has been taken or discarded meanwhile.
   */
  discard(error: SendfdError): boolean;
  [Symbol.asyncIterator](): AsyncIterableIterator<Parcel>;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;

  on(event: 'parcel', listener: (parcel: Parcel) => void): this;
  on(event: 'error', listener: (error: SendfdError) => void): this;
  on(event: 'close', listener: () => void): this;
  once(event: 'parcel', listener: (parcel: Parcel) => void): this;
  once(event: 'error', listener: (error: SendfdError) => void): this;
  once(event: 'close', listener: () => void): this;
  off(event: 'parcel', listener: (parcel: Parcel) => void): this;
  off(event: 'error', listener: (error: SendfdError) => void): this;
  off(event: 'close', listener: () => void): this;
}
