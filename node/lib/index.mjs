import sendfd from './index.js';

export const { send, sendAsync, Inbox, Parcel, SIGNO, MAX_FDS, MAX_DATA, version } = sendfd;
export default sendfd;
