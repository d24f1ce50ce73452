/// <reference types="node" />
import type { Socket as DatagramSocket } from 'node:dgram';
import type { EventEmitter } from 'node:events';
import type { ReadStream, WriteStream } from 'node:fs';
import type { Server, ServerOpts, Socket, SocketConstructorOpts } from 'node:net';

/** The signal number to use when there is no reason for another. */
export const SIGNO: number;
/** Descriptors in one parcel at most. */
export const MAX_FDS: number;
/** Bytes in one parcel at most. */
export const MAX_DATA: number;
/** The version of this package. */
export const version: string;

/** A descriptor: its number, or an open object that has one (a FileHandle, socket, server, stream). */
export type Descriptor =
  | number
  | { readonly fd: number }
  | { readonly _handle?: unknown }
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
  /** The signal number of the receiver's inbox. Default: SIGNO. */
  signal?: number;
}

export interface SendAsyncOptions extends SendOptions {
  /** Milliseconds to wait for room in a full queue; 0: not at all. Default: for ever. */
  timeout?: number;
}

/** What failed calls throw or reject with: like the errors of Node's own calls. */
export interface SendfdError extends Error {
  /** Such as 'ECONNREFUSED'. */
  code: string;
  /** The error number, negative. */
  errno: number;
  /** The call that failed, as C names it. */
  syscall: string;
}

/**
 * Queues descriptors to a process, or to a single thread by its tid. Never waits.
 *
 * The descriptors stay yours and may be closed as soon as this returns. Success means that the kernel
 * holds them in the receiver's queue, whatever becomes of this process; not that the receiver has
 * taken them, or will.
 *
 * Linux 5.3 or newer.
 *
 * @throws {SendfdError} ESRCH no such process; ECONNREFUSED it has no inbox for this signal; EPERM not
 *   allowed to signal it; EAGAIN its queue is full; EBADF a descriptor is not open; EINVAL no or too
 *   many descriptors, one of a kind that cannot be passed, or a pid or signal number that is none;
 *   EMSGSIZE too many bytes; ETOOMANYREFS too many descriptors of this user are in flight; EMFILE,
 *   ENFILE none left for the connection.
 * @throws {TypeError} ERR_INVALID_ARG_TYPE
 */
export function send(
  pid: number,
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
  pid: number,
  fd: Descriptor | readonly Descriptor[],
  options?: SendAsyncOptions,
): Promise<void>;

/**
 * Received descriptors, the bytes that came with them, and who sent them.
 *
 * It owns its descriptors until they are taken out; close() closes the others. One that is forgotten
 * is closed when it is collected, with a process warning. What the descriptors refer to is shared with
 * the sender, offset and O_NONBLOCK included, as after dup().
 */
export class Parcel {
  private constructor();
  /** The descriptors it still owns, in the order in which they were sent; close-on-exec. */
  readonly fds: number[];
  readonly data: Buffer;
  /** The sender's process, from the kernel; 0 if it is not visible in this pid namespace. */
  readonly pid: number;
  /** The sender's real user, as the kernel recorded it at the send. */
  readonly uid: number;
  /** The sender's real group, likewise. */
  readonly gid: number;
  /** The signal number it was sent with. */
  readonly signo: number;
  /** The descriptors become the caller's. */
  take(): number[];
  /**
   * The first descriptor as a connected socket, or an end of a pipe, which owns it from now on.
   *
   * @throws {TypeError} ERR_INVALID_FD_TYPE it is neither; it stays in the parcel.
   */
  socket(options?: Omit<SocketConstructorOpts, 'fd'>): Socket;
  /**
   * The first descriptor as a listening server, which owns it from now on. Not in a worker of
   * node:cluster, which leaves listening to its primary.
   *
   * @throws {TypeError} ERR_INVALID_FD_TYPE it does not listen; it stays in the parcel.
   */
  server(options?: ServerOpts, onConnection?: (socket: Socket) => void): Server;
  /** The first descriptor as a stream, which owns it from now on. */
  readStream(options?: { start?: number; end?: number; highWaterMark?: number }): ReadStream;
  /** The first descriptor as a stream, which owns it from now on. */
  writeStream(options?: { start?: number; highWaterMark?: number }): WriteStream;
  /** Closes what it still owns. */
  close(): void;
  [Symbol.dispose](): void;
}

export interface InboxOptions {
  /** What senders have to name. Default: SIGNO. No signal is delivered: the event loop is told. */
  signal?: number;
  /**
   * Addressed by the id of the calling thread instead of the process. The thread finds that out by
   * `fs.readlinkSync('/proc/thread-self')`, which ends in it.
   */
  thread?: boolean;
}

/**
 * Receives what is sent to this process, or thread, with one signal number.
 *
 * Parcels come to 'parcel' listeners, or to `for await`; an iterator that waits comes first. None is
 * taken from the kernel before somebody wants it. An open inbox keeps the process alive, unless
 * unref() was called.
 *
 * 'error' is emitted for what prevents receiving: EMFILE (no room for the descriptors: the parcel is
 * kept) and EPROTO (a peer of another version, which has been shut out). After EMFILE nothing is taken
 * until a parcel of this inbox is closed, or a socket, server or stream that came from one, a listener
 * is added, the next iteration begins, or resume() is called.
 *
 * Each worker can have its own, for signal numbers of their own or with `thread`.
 */
export class Inbox extends EventEmitter implements AsyncIterable<Parcel> {
  /**
   * @throws {SendfdError} EADDRINUSE there is one for this signal already, or another user squats on
   *   its name; EINVAL not a real-time signal number; EMFILE, ENFILE no descriptors left.
   */
  constructor(options?: InboxOptions);
  readonly signal: number;
  readonly closed: boolean;
  /** The descriptor that polls readable while there is mail; -1 once closed. It stays the inbox's. */
  readonly fd: number;
  /** Releases what nobody has taken; ends all iterations; emits 'close'. */
  close(): void;
  ref(): this;
  unref(): this;
  /** Goes on after an error. */
  resume(): this;
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
