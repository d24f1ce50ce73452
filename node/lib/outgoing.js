const { channel } = require('node:diagnostics_channel');
const { bytes } = require('./arguments.js');
const { descriptors } = require('./descriptor.js');
const { fromFailure } = require('./errors.js');
const { join } = require('./unread.js');

/** The options that say what goes out. */
const CONTENT = ['data', 'unread'];

const sent = channel('sendfd:send');

/** A parcel on its way out, with all arguments checked. */
class Outgoing {
  constructor(fd, { data, unread }) {
    this.fds = descriptors(fd);
    const more = bytes(unread, 'options.unread');
    this.data = bytes(data, 'options.data');
    if (more?.length > 0) this.data = join(this.data, more);
  }

  /** For when the caller may do with the bytes what it likes. */
  keep() {
    this.data = this.data?.slice();
  }

  /** Says that it has been sent, where it has been. */
  note(failure, to, signo) {
    const { fds, data } = this;
    if (!failure && sent.hasSubscribers) sent.publish({ to, signo, fds, data });
    return failure;
  }

  /** The error of a call of C that could not be made in time. */
  timedOut(syscall, why, timeout, to, signo) {
    const what = `[${this.fds.length} fds], [${this.data?.length ?? 0} bytes]`;
    return timedOut(syscall, `${to}, ${signo}, ${what}, ${timeout}ms`, why);
  }
}

function timedOut(syscall, args, why) {
  const message = `ETIMEDOUT: ${syscall}(${args}) = -ETIMEDOUT (${why})`;
  return fromFailure({ errno: -110, code: 'ETIMEDOUT', syscall, message });
}

module.exports = { CONTENT, Outgoing, timedOut };
