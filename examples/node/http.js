// One of several processes that serve HTTP with Node's own server, on connections that some other
// process accepts and hands over by pid. They are no cluster of node:cluster: none is the parent of
// another, each can be started, stopped and updated by itself.
//
//   node http.js & node http.js & node http.js &
//   acceptor -p 8080 PID PID PID        # examples/c/acceptor.c
//
// Usage: node http.js

const http = require('node:http');
const { Inbox } = require('../../node'); // require('sendfd') where it is installed

const accepted = new WeakMap();

const server = http.createServer((request, response) => {
  let length = 0;
  request.on('data', (chunk) => {
    length += chunk.length;
  });
  request.on('end', () => {
    const { method, url, socket } = request;
    const answer = { pid: process.pid, acceptedBy: accepted.get(socket), method, url, length };
    response.setHeader('Content-Type', 'application/json');
    response.end(`${JSON.stringify(answer)}\n`);
  });
});

const inbox = new Inbox();
inbox.on('parcel', (parcel) => {
  const socket = parcel.connect(server);
  accepted.set(socket, parcel.pid);
});
inbox.on('error', (error) => console.error(error.message));

// No connection is cut off: those that are open are served to their end, which their next answer tells
// them of. The next request of one that seems idle may be on its way.
process.once('SIGTERM', () => {
  inbox.close();
  server.prependListener('request', (_request, response) => {
    response.shouldKeepAlive = false;
  });
});
console.log(`worker ${process.pid} is ready`);
