// A web server that is replaced by a new one while clients use it, and no request is lost: not those on
// connections that are kept, either. The two processes need not know more of each other than a pid.
//
//   node replace.js 8080           # the first: it listens
//   node replace.js --replace PID  # any later one: PID ends when it has answered what it has
//
// Usage: node replace.js PORT | node replace.js --replace PID

const http = require('node:http');
const { Inbox, handOver, send } = require('../../node'); // require('sendfd') where it is installed

// An app of Express would stand here as well: http.createServer(app).
const server = http.createServer((request, response) => {
  setTimeout(() => response.end(`${request.url} answered by ${process.pid}\n`), 5);
});
server.once('listening', () => console.log(`process ${process.pid} serves`));

// Should the next one end before it has the listener, this one goes on.
const inbox = new Inbox({ captureRejections: true });
inbox.on('error', (error) => console.error(error.message));
inbox.on('parcel', async (parcel) => {
  if (parcel.fds.length > 0) {
    parcel.listen(server); // from the one before
  } else {
    await handOver(server, parcel.pid); // to the next one, which asks for it
    inbox.close();
  }
});

const [first, pid] = process.argv.slice(2);
if (first === '--replace') send(Number(pid), [], { data: 'your listener, please' });
else server.listen(Number(first));
