import sendfd from './index.js';

export const {
  send,
  sendAsync,
  request,
  handOver,
  Inbox,
  Outbox,
  Parcel,
  SIGNO,
  MAX_FDS,
  MAX_DATA,
  version,
} = sendfd;
export default sendfd;
