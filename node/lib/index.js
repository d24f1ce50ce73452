const { SIGNO, MAX_FDS, MAX_DATA, VERSION } = require('./addon.js');
const { Inbox } = require('./inbox.js');
const { Parcel } = require('./parcel.js');
const { send, sendAsync } = require('./send.js');

module.exports = { send, sendAsync, Inbox, Parcel, SIGNO, MAX_FDS, MAX_DATA, version: VERSION };
