/// <reference types="node" />
import type { Inbox, Parcel, SendfdError } from './index.js';

/**
 * Types alone: with `import type {} from 'sendfd/once'`, what `once` of node:events gives for an inbox is known.
 * It needs @types/node 25 or newer, whose `once` is a function that others can add to; with older ones,
 * write `const [parcel]: Parcel[] = await once(inbox, 'parcel')`.
 */
declare module 'events' {
  namespace EventEmitter {
    function once(
      emitter: Inbox,
      eventName: 'parcel',
      options?: { signal?: AbortSignal },
    ): Promise<[Parcel]>;
    function once(
      emitter: Inbox,
      eventName: 'error',
      options?: { signal?: AbortSignal },
    ): Promise<[SendfdError]>;
    function once(
      emitter: Inbox,
      eventName: 'close',
      options?: { signal?: AbortSignal },
    ): Promise<[]>;
  }
}
