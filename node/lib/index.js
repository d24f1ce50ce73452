const { SIGNO, MAX_FDS, MAX_DATA, VERSION } = require('./addon.js');
const { handOver } = require('./handover.js');
const { Inbox } = require('./inbox.js');
const { Outbox } = require('./outbox.js');
const { Parcel } = require('./parcel.js');
const { request } = require('./request.js');
const { send, sendAsync } = require('./send.js');

module.exports = {
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
  version: VERSION,
};
