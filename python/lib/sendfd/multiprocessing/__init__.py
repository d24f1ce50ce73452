"""multiprocessing's descriptor passing, by pid.

>>> import sendfd.multiprocessing
>>> sendfd.multiprocessing.install()

From then on multiprocessing.reduction.send_handle() and recv_handle() go by pid in this process and
in all that it starts, under fork, spawn and forkserver; and so do connections, sockets and shared
memory that are pickled into queues and pipes.

>>> sendfd.multiprocessing.uninstall()

puts back what was there. The functions may also be used without that.

>>> import multiprocess  # doctest: +SKIP
>>> sendfd.multiprocessing.install(multiprocess)  # doctest: +SKIP

does the same for a package that is made like multiprocessing and has a module `reduction` of its
own: `multiprocess` and `billiard` are tested.

A process that has not installed it can still be talked to, in both directions: what cannot go by
pid, because the destination has no inbox (yet), is full, or may not be signalled, goes over the
connection as before.

Different from the standard way:

* received descriptors are not inheritable;
* the destination's pid must be right (the standard functions ignore it on Unix), or be None;
* a descriptor that was pickled is redeemed by pid, so both processes must see each other in their
  pid namespaces and belong to the same user.

As in the standard way, what was pickled and never unpickled stays open in the process that pickled
it, until it ends or calls uninstall() or multiprocessing.resource_sharer.stop(). What was given to
send_handle() never does: it is in the destination's inbox. If the destination closes the connection
without receiving what was sent, it may keep the descriptor until it ends or calls uninstall().

Where no descriptor is free (EMFILE), nothing is lost: what was pickled can be unpickled later, and
elsewhere even if the process that pickled it has not one descriptor left. A process that keeps
descriptors and does not answer, since it is stopped, say, is waited for during 60 seconds, which
end with TimeoutError. If it has ended, the error is ProcessLookupError and names it.

What a signal handler raises, KeyboardInterrupt for instance, comes out of these functions as it
should, and what they were doing is then done or not, but not by halves. An interrupted
recv_handle() or detach() has received nothing: called again, it gives what it would have given.

The process's signal numbers 48 and 49 are used for this; no signal is ever queued.
"""

from ._handles import recv_handle, send_handle
from ._install import install, uninstall
from ._tickets import DupFd

__all__ = ["DupFd", "install", "recv_handle", "send_handle", "uninstall"]
