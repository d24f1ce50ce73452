// What `once` of node:events gives for an inbox, where @types/node lets others say so.

import { once } from 'node:events';
import type { Inbox, Parcel, SendfdError } from 'sendfd';
import type {} from 'sendfd/once';

export async function first(inbox: Inbox): Promise<Parcel> {
  const [parcel] = await once(inbox, 'parcel');
  // @ts-expect-error: it is known what comes
  parcel.nothing;
  const [error] = await once(inbox, 'error', { signal: AbortSignal.timeout(1) });
  const known: SendfdError = error;
  // @ts-expect-error: nothing comes with it
  const [nothing] = await once(inbox, 'close');
  return known.code === nothing ? parcel : first(inbox);
}
