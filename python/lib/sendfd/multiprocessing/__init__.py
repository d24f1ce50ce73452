"""multiprocessing's descriptor passing, by pid.

>>> import sendfd.multiprocessing
>>> sendfd.multiprocessing.install()

From then on multiprocessing.reduction.send_handle() and recv_handle() go by pid in this process and
in all that it starts, under fork, spawn and forkserver; and so do connections, sockets and shared
memory that are pickled into queues and pipes.

>>> sendfd.multiprocessing.uninstall()

puts back what was there. The functions may also be used without that.

A process that has not installed it can still be talked to, in both directions: what cannot go by
pid, because the destination has no inbox (yet), is full, or may not be signalled, goes over the
connection as before.

Different from the standard way:

* received descriptors are not inheritable;
* the destination's pid must be right (the standard functions ignore it on Unix), or be None;
* a descriptor that was pickled is redeemed by pid, so both processes must see each other in their
  pid namespaces and belong to the same user.

As in the standard way, what was pickled and never unpickled stays open in the process that pickled
it, until it ends or calls uninstall(). What was given to send_handle() never does: it is in the
destination's inbox. If the destination closes the connection without receiving what was sent, it
may keep the descriptor until it ends or calls uninstall().

The process's signal numbers 48 and 49 are used for this; no signal is ever queued.
"""

from ._handles import recv_handle, send_handle
from ._install import install, uninstall
from ._tickets import DupFd

__all__ = ["DupFd", "install", "recv_handle", "send_handle", "uninstall"]
