// A process sends itself its standard output, and sees who sent it.
const sendfd = require('sendfd');
const inbox = new sendfd.Inbox();
inbox.once('parcel', (parcel) => {
  if (parcel.pid !== process.pid) throw new Error(`from ${parcel.pid}`);
  parcel.close();
  inbox.close();
  console.log(sendfd.version, process.arch);
});
sendfd.send(process.pid, 1);
