// A worker that is handed TCP connections by pid, and answers each with a line that names it.
// It never listens and knows nothing of who accepts; see examples/c/acceptor.c for one who does.
//
// Usage: node worker.js

const { Inbox } = require('../../node'); // require('sendfd') where it is installed

async function main() {
  const inbox = new Inbox();
  console.log(`worker ${process.pid} is ready`);
  for await (const parcel of inbox) {
    const line = `Node worker ${process.pid}, handed over by process ${parcel.pid}\n`;
    const socket = parcel.socket();
    socket.on('error', (error) => console.error(`a client has gone: ${error.message}`));
    socket.once('data', () => {
      const head = `HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\nConnection: close\r\n\r\n`;
      socket.end(head + line);
    });
  }
}

main();
