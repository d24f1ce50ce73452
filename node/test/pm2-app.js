// A worker of pm2's cluster mode that serves on listeners which others open, for pm2.test.js.

const http = require('node:http');
const { Inbox } = require('..');

const inbox = new Inbox();
/** @type {http.Server[]} */
const servers = [];

inbox.on('parcel', (parcel) => {
  const server = http.createServer((_, response) => response.end(`worker ${process.pid}`));
  servers.push(server);
  parcel.listen(server);
});

// How pm2 tells a worker to end.
process.on('SIGINT', () => {
  inbox.close();
  for (const server of servers) server.close();
  process.disconnect();
});
