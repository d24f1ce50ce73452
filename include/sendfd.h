/**
 * @file sendfd.h
 * Hand open descriptors to other processes by their pid.
 *
 * Made from capi/src by `make header`; do not edit.
 *
 * Every function returns 0 or more on success, or a negative errno, to which it sets errno as well:
 * both `if (r < 0)` with `-r` and perror() work. Outputs are named ret_ and are untouched on failure
 * unless said otherwise. Descriptors that come out are close-on-exec and the caller's to close;
 * descriptors that go in stay the caller's. NULL and nonsense give -EINVAL. A timeout is relative:
 * NULL waits for ever, {0, 0} does not wait. "Real-time" means SIGRTMIN to SIGRTMAX.
 *
 * Safe in threads and after fork, as said with each function; not safe in signal handlers.
 * A thread that has a table of descriptors of its own (CLONE_FILES unshared) gets -EOPNOTSUPP.
 * Linux 5.3 or newer; 6.9 or newer for addresses that are right in every pid namespace.
 * With a strict -std=c99, define _POSIX_C_SOURCE as 199309L or more before the first include.
 *
 * sendfd(7) has the idea, the guarantees and the limits.
 */


#ifndef SENDFD_H
#define SENDFD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <time.h>

#if defined(__GLIBC__) && (!defined(_POSIX_C_SOURCE) || _POSIX_C_SOURCE < 199309L)
#error "sendfd.h: define _POSIX_C_SOURCE as 199309L or more before the first include"
#endif

/**
 * The signal number to use when there is no reason for another; absolute, because SIGRTMIN differs
 * between C libraries.
 */
#define SENDFD_SIGNO 50

/**
 * Descriptors in one parcel at most.
 */
#define SENDFD_MAX_FDS 252

/**
 * Bytes in one parcel at most.
 */
#define SENDFD_MAX_DATA 65536

/**
 * For sendfd_inbox_open(): the inbox is addressed by the id of the calling thread.
 */
#define SENDFD_INBOX_THREAD 1u

/**
 * For sendfd_inbox_open(): the inbox queues no signals and touches no mask; any thread may use it.
 */
#define SENDFD_INBOX_NOSIGNAL 2u

/**
 * For sendfd_inbox_open(): any user of this machine may send.
 */
#define SENDFD_INBOX_ANYONE 4u

/**
 * Bytes of an address, its terminating zero included, at most.
 */
#define SENDFD_ADDRESS_MAX 64

/**
 * An inbox: where a task receives what is sent to it with one signal number.
 */
typedef struct sendfd_inbox sendfd_inbox;

/**
 * An outbox: a link to one inbox, held by its user.
 */
typedef struct sendfd_outbox sendfd_outbox;

/**
 * Who may send to an inbox, and where it listens: for sendfd_inbox_open_with(). Zeros, but for size, mean
 * what sendfd_inbox_open() does. Later releases may add to its end.
 */
typedef struct sendfd_inbox_options {
  /**
   * sizeof(sendfd_inbox_options), as the program was compiled
   */
  size_t size;
  /**
   * 0, or any of SENDFD_INBOX_THREAD, SENDFD_INBOX_NOSIGNAL and SENDFD_INBOX_ANYONE
   */
  unsigned int flags;
  /**
   * effective users that may send, beside root and one's own, as the caller's user namespace numbers
   * them; NULL if nuids is 0
   */
  const uid_t *uids;
  /**
   * how many there are
   */
  size_t nuids;
  /**
   * groups whose members may send, by effective or supplementary group; NULL if ngids is 0
   */
  const gid_t *gids;
  /**
   * how many there are
   */
  size_t ngids;
  /**
   * where it listens as well, for senders in other network namespaces; NULL: in $SENDFD_DIR, or in
   * /run/sendfd if that is there; "": nowhere
   */
  const char *directory;
} sendfd_inbox_options;

/**
 * What is known of a parcel.
 */
typedef struct sendfd_info {
  /**
   * the signal number it was sent with
   */
  int signo;
  /**
   * sender's process, in the caller's pid namespace; 0: not visible there
   */
  pid_t pid;
  /**
   * its real user, as the kernel recorded it at the send; one that has no number in the caller's user
   * namespace is shown as 65534
   */
  uid_t uid;
  /**
   * its real group, likewise
   */
  gid_t gid;
  /**
   * descriptors in the parcel
   */
  uint32_t nfds;
  /**
   * bytes in the parcel
   */
  uint32_t len;
  /**
   * an answer is awaited here: sendfd_reply(), then close it; -1: none is
   */
  int reply;
  /**
   * no other parcel of this inbox has it; never 0
   */
  uint64_t id;
  /**
   * zero; room for later
   */
  uint32_t reserved[4];
} sendfd_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Queues the descriptor fd to a task, which is told by the real-time signal sig. Never waits.
 *
 * @param id   a process or a thread, as this pid namespace numbers it
 * @param sig  the real-time signal number that the task has opened an inbox for
 * @param fd   stays the caller's; may be closed as soon as this has returned
 * @return 0, or a negative errno
 *
 * Success means that the kernel holds a reference in the receiver's queue, whatever becomes of the
 * caller. It does not mean that the receiver has taken it, or will.
 *
 * -EINVAL        id <= 0, sig not real-time, or fd of a kind that the kernel does not pass;
 * -EBADF         fd is not open;
 * -ESRCH         no such process or thread;
 * -ECONNREFUSED  it has no inbox for sig;
 * -EPERM         not allowed to signal it, or it would not let this user in, and no guest of it;
 * -EAGAIN        its queue is full, too many others wait to be accepted, or it has not let in this guest yet;
 * -ETOOMANYREFS  too many descriptors of this user are in flight;
 * -EMFILE, -ENFILE  no descriptor left for the connection;
 * -ENOMEM, -ENOBUFS  no memory.
 *
 * Connections are kept: the first send to a task opens one (close-on-exec, under a high number). A
 * quarter of RLIMIT_NOFILE are kept in all, 4,096 at most; the one that was idle longest gives way. Any
 * number of threads may send at once. A forked child starts afresh.
 */
int sendfd(pid_t id,
           int sig,
           int fd);

/**
 * Queues several descriptors and some bytes to a task: all together or nothing.
 *
 * @param id       as for sendfd()
 * @param sig      as for sendfd()
 * @param fds      nfds descriptors, which stay the caller's
 * @param nfds     0 to SENDFD_MAX_FDS
 * @param data     len bytes that travel with them; may be NULL if len is 0
 * @param len      0 to SENDFD_MAX_DATA
 * @param timeout  how long to wait for room in a full queue
 * @return 0, or a negative errno
 *
 * As sendfd(), and:
 *
 * -EINVAL     too many descriptors; a bad timeout; NULL with a count;
 * -EMSGSIZE   len is more than SENDFD_MAX_DATA, or than the kernel's wmem_max allows (32792 is enough);
 * -ETIMEDOUT  the queue was still full at the deadline.
 *
 * Signal handlers run while it waits and do not end the wait.
 */
int sendfds(pid_t id,
            int sig,
            const int *fds,
            size_t nfds,
            const void *data,
            size_t len,
            const struct timespec *timeout);

/**
 * The same as sendfd() to the task that a pidfd stands for, which no other can be mistaken for.
 *
 * @param pidfd  of a process, or of a thread; stays the caller's
 * @param sig    as for sendfd()
 * @param fd     as for sendfd()
 * @return 0, or a negative errno
 *
 * As sendfd(), and: -EBADF pidfd is not open; -EINVAL it is no pidfd; -EACCES this process
 * is not dumpable, as after a change of user, and the kernel older than 5.14.
 */
int sendfd_pidfd(int pidfd, int sig, int fd);

/**
 * The version of the library in use, such as "0.1.0". Static; not to be freed.
 */
const char *sendfd_version(void);

/**
 * Opens an inbox of the calling process, or thread, for the real-time signal sig.
 *
 * @param sig        what senders have to name; also the signal that is queued
 * @param flags      0, or any of SENDFD_INBOX_THREAD, SENDFD_INBOX_NOSIGNAL and SENDFD_INBOX_ANYONE
 * @param ret_inbox  to be closed with sendfd_inbox_close()
 * @return 0, or a negative errno
 *
 * Without SENDFD_INBOX_NOSIGNAL, sig and SIGIO become blocked in the calling thread, and ignored in
 * the process where they had their default action; a handler is left alone. From then on the kernel
 * queues sig to this thread for what arrives, and SIGIO when its signal queue is full. The inbox
 * stays with the thread: all calls on it from others give -EPERM. When the thread ends, the inbox is
 * closed to senders. A thread can have one such inbox for a number.
 *
 * With SENDFD_INBOX_NOSIGNAL there are no signals, and any thread may use the inbox.
 *
 * A forked child does not have the inbox: its descriptors are closed there, every call on it gives
 * -EPERM, and sendfd_inbox_close() frees it.
 *
 * -EINVAL           sig not real-time, unknown flags, or NULL;
 * -EADDRINUSE       there is an inbox for sig already, or another user squats on its name;
 * -EMFILE, -ENFILE  no descriptors left (it takes three, and one per sender);
 * -ENOMEM, -ENOBUFS no memory;
 * -ENOSPC           /proc/sys/fs/epoll/max_user_watches is reached.
 */
int sendfd_inbox_open(int sig,
                      unsigned int flags,
                      struct sendfd_inbox **ret_inbox);

/**
 * Opens an inbox as sendfd_inbox_open() does, and lets in other users, or listens in a directory.
 *
 * @param sig        what senders have to name; also the signal that is queued
 * @param options    copied; a size that is larger than this release knows is fine while what is unknown is
 *                   zero
 * @param ret_inbox  to be closed with sendfd_inbox_close()
 * @return 0, or a negative errno
 *
 * Senders of other users, who need not be allowed to signal this process, are guests. A first send of a
 * guest gives -EAGAIN, or waits, until the receiver has let it in, which it does in whatever call on the
 * inbox looks for mail. At most 16 connections of one user are held, and 1024 of all guests, or as many as a
 * quarter of RLIMIT_NOFILE; whoever comes when there are so many gets -EPERM, as do all who are not let in.
 * To take a permission away, close the inbox and open it anew without it.
 *
 * The user as which the kernel shows all who have no number in the caller's user namespace (65534, see
 * /proc/sys/kernel/overflowuid) cannot be let in by number, nor can the group; SENDFD_INBOX_ANYONE lets
 * them in.
 *
 * -EINVAL           also: options is NULL or its size too small, the overflow user or group or -1 is named,
 *                   or more than 65536 users or groups are;
 * -E2BIG            what this release does not know in options is not zero;
 * -ENAMETOOLONG     directory has 4096 bytes or more;
 * otherwise as sendfd_inbox_open().
 */
int sendfd_inbox_open_with(int sig,
                           const struct sendfd_inbox_options *options,
                           struct sendfd_inbox **ret_inbox);

/**
 * Closes an inbox and frees it. What nobody has taken is released; senders get -ECONNREFUSED from
 * now on. Its own signals that are pending are taken back, and the thread gets its mask back; the
 * signals stay ignored, so that a late one cannot kill. NULL is fine.
 *
 * What is released may be slow to close, as a TCP socket that lingers is. It is not waited for: a thread
 * that lives only for this closes it.
 *
 * To be called by the thread that opened the inbox, which alone can be given its mask back; by any
 * thread for one without signals, once no other thread uses it.
 */
void sendfd_inbox_close(struct sendfd_inbox *inbox);

/**
 * Ends every wait on an inbox, in whatever thread, and lets nobody connect any more. It does not wait,
 * and any thread may call it, also for an inbox with signals.
 *
 * @param inbox  from sendfd_inbox_open(); remains to be closed with sendfd_inbox_close()
 * @return 0, also when it has been shut down already; or a negative errno
 *
 * From then on every call on the inbox gives -EBADF, but for sendfd_inbox_fileno(), whose descriptor
 * stays readable, and sendfd_inbox_close(). A signal is pending for the thread that opened an inbox
 * with signals, so that a loop of its own wakes up, claims, and is told. New senders get
 * -ECONNREFUSED. What is queued is released when the inbox is closed.
 *
 * -EINVAL  NULL;
 * -EPERM   opened before a fork.
 */
int sendfd_inbox_shutdown(struct sendfd_inbox *inbox);

/**
 * The address of an inbox: text that names it on this machine, in every namespace.
 *
 * @param inbox        from sendfd_inbox_open()
 * @param ret_address  room for size bytes; NULL if size is 0
 * @param size         SENDFD_ADDRESS_MAX is always enough
 * @return the length of the address without its terminating zero, as snprintf(); or a negative errno
 *
 * It is no secret and gives no permission. Whoever gets it, over whatever channel, can open an outbox with
 * sendfd_outbox_open_address() without seeing the receiver's pid. It is of use as long as the inbox is open.
 * What does not fit is cut off; with a size of 0 nothing is written.
 *
 * -EINVAL  NULL;
 * -EPERM   opened before a fork.
 */
int sendfd_inbox_address(const struct sendfd_inbox *inbox,
                         char *ret_address,
                         size_t size);

/**
 * A descriptor that polls readable while there is mail, level-triggered, from any thread. It stays
 * the inbox's: wait for it with poll, select or epoll, and do nothing else with it.
 *
 * @return the descriptor, or a negative errno
 *
 * It may turn out that there is no mail after all (a sender went away): receive with a timeout of
 * {0, 0} then and expect -EAGAIN.
 *
 * -EINVAL  NULL;
 * -EPERM   opened before a fork;
 * -EBADF   the program has closed it behind the library's back.
 */
int sendfd_inbox_fileno(const struct sendfd_inbox *inbox);

/**
 * Takes the next parcel if it has exactly one descriptor. Bytes that came with it are dropped;
 * ret_info->len says how many.
 *
 * @param inbox     from sendfd_inbox_open()
 * @param ret_info  who sent it; may be NULL
 * @param timeout   how long to wait
 * @return the descriptor, close-on-exec, the caller's to close; or a negative errno
 *
 * The descriptor has the lowest free number and shares its file description with the sender's, as
 * after dup(): offset and O_NONBLOCK are common to both.
 *
 * -EAGAIN     nothing there, with a timeout of {0, 0};
 * -ETIMEDOUT  nothing came before the deadline;
 * -EMSGSIZE   it has more descriptors;
 * -EMFILE, -ENFILE  no room in the table; or, where ret_info->id is 0, none for a sender's connection;
 * -EACCES     there is room, but a security module does not let this process receive it;
 * -EINTR      a signal handler ran, or the process was stopped and goes on;
 * -EPERM      opened by another thread, or before a fork;
 * -EPROTO     a peer speaks another protocol version and was shut out; the others are not affected;
 * -EINVAL     NULL, or a bad timeout;
 * -ENOMEM, -ENOBUFS  no memory;
 * -ENOSPC     /proc/sys/fs/epoll/max_user_watches is reached;
 * -EBADF      shut down.
 *
 * A parcel that cannot be taken (-EMSGSIZE, -EMFILE, -ENFILE, -EACCES) stays where it is, whole, and
 * ret_info is filled. What its sender sent after it stays behind it; the mail of others goes on, and
 * the calls come back to it when nothing else is there, or when there is room for it. So a loop has to
 * do something about it: sendfd_recvs() takes it, sendfd_discard() throws it away.
 */
int sendfd_recv(struct sendfd_inbox *inbox,
                struct sendfd_info *ret_info,
                const struct timespec *timeout);

/**
 * Takes the next parcel, of any size that fits.
 *
 * @param inbox     from sendfd_inbox_open()
 * @param ret_fds   room for max_fds descriptors, close-on-exec, the caller's to close
 * @param max_fds   SENDFD_MAX_FDS is always enough
 * @param ret_data  room for max_len bytes
 * @param max_len   SENDFD_MAX_DATA is always enough
 * @param ret_info  who sent it, and how much it is; may be NULL
 * @param timeout   how long to wait
 * @return how many descriptors there are in ret_fds; or a negative errno
 *
 * As sendfd_recv(), and:
 *
 * -EMSGSIZE  it does not fit; ret_info is filled, and it is kept;
 * -EINVAL    NULL with a count.
 *
 * With no room at all, -EMSGSIZE tells the size of the next parcel; with room for it, the next call takes
 * that one.
 */
int sendfd_recvs(struct sendfd_inbox *inbox,
                 int *ret_fds,
                 size_t max_fds,
                 void *ret_data,
                 size_t max_len,
                 struct sendfd_info *ret_info,
                 const struct timespec *timeout);

/**
 * Takes the parcel that a signal announces which the program dequeued itself, with sigwaitinfo(),
 * sigtimedwait() or in a handler's stead, if it has exactly one descriptor.
 *
 * @param inbox     opened with signals, by this thread
 * @param info      what came with the signal; the program's set must hold the inbox's number and
 *                  SIGIO, and both are to be handed over
 * @param ret_info  who sent it; may be NULL
 * @return the descriptor, as from sendfd_recv(); or a negative errno
 *
 * While mail is left, a further signal is pending: a loop that claims once per signal never sleeps
 * on mail. A parcel may come from another sender than the one that caused this signal.
 *
 * -EAGAIN  the signal announced nothing, which is normal;
 * -EINVAL  NULL, or neither the inbox's number nor SIGIO;
 * otherwise as sendfd_recv(), without -ETIMEDOUT and -EINTR.
 */
int sendfd_claim(struct sendfd_inbox *inbox, const siginfo_t *info, struct sendfd_info *ret_info);

/**
 * The same as sendfd_claim() for a signal that was read from a signalfd.
 */
int sendfd_claim_signalfd(struct sendfd_inbox *inbox,
                          const struct signalfd_siginfo *info,
                          struct sendfd_info *ret_info);

/**
 * Throws away a parcel that could not be taken: the one of which -EMSGSIZE, -EMFILE, -ENFILE or -EACCES
 * told. What its sender sent after it is next then.
 *
 * @param inbox  from sendfd_inbox_open()
 * @param info   as it was filled with the error; the id alone counts
 * @return 0, or a negative errno
 *
 * Its descriptors are released without having been in the table, so that it needs no room there. The
 * sender is told what it would be told of a parcel that was received.
 *
 * -EAGAIN  it has been taken or discarded meanwhile;
 * -EPERM   opened by another thread, or before a fork;
 * -EINVAL  NULL;
 * -EBADF   shut down;
 * -ENOMEM, -ENOBUFS  no memory; it is kept.
 */
int sendfd_discard(struct sendfd_inbox *inbox,
                   const struct sendfd_info *info);

/**
 * Connects to the inbox of a task for sig, and waits for the task to open it.
 *
 * @param id          a process or a thread, as this pid namespace numbers it
 * @param sig         the real-time signal number of the inbox
 * @param timeout     how long to wait for the inbox; {0, 0}: it must be there
 * @param ret_outbox  to be closed with sendfd_outbox_close()
 * @return 0, or a negative errno
 *
 * An outbox leads to that inbox and never to another: once the inbox is closed or its process dead,
 * sending gives -EPIPE. Parcels of one outbox arrive in order; between them and those of sendfd()
 * there is none. Any number of threads may use it at once. A forked child does not have it: its
 * descriptor is closed there, every call on it gives -EPERM, and sendfd_outbox_close() frees it.
 *
 * -EINVAL        id <= 0, sig not real-time, a bad timeout, or NULL;
 * -ESRCH         no such process or thread, or it ended meanwhile;
 * -ECONNREFUSED  it has no inbox for sig, with a timeout of {0, 0};
 * -ETIMEDOUT     it had none in time, or too many others waited to be accepted;
 * -EAGAIN        too many others wait to be accepted, with a timeout of {0, 0};
 * -EPERM         not allowed to signal it, or it would not let this user in, and no guest of it;
 * -EMFILE, -ENFILE  no descriptor left for the connection;
 * -ENOMEM, -ENOBUFS no memory.
 *
 * Signal handlers run while it waits and do not end the wait.
 */
int sendfd_outbox_open(pid_t id,
                       int sig,
                       const struct timespec *timeout,
                       struct sendfd_outbox **ret_outbox);

/**
 * The same as sendfd_outbox_open() to the task that a pidfd stands for.
 *
 * @param pidfd       of a process, or of a thread; stays the caller's
 * @param sig         as for sendfd_outbox_open()
 * @param timeout     as for sendfd_outbox_open()
 * @param ret_outbox  as for sendfd_outbox_open()
 * @return 0, or a negative errno
 *
 * As sendfd_outbox_open(), and: -EBADF pidfd is not open; -EINVAL it is no pidfd; -EACCES this process
 * is not dumpable, as after a change of user, and the kernel older than 5.14.
 */
int sendfd_outbox_open_pidfd(int pidfd,
                             int sig,
                             const struct timespec *timeout,
                             struct sendfd_outbox **ret_outbox);

/**
 * The same as sendfd_outbox_open() to the inbox that an address names.
 *
 * @param address     from sendfd_inbox_address(), in whatever process; ends with a zero
 * @param timeout     as for sendfd_outbox_open()
 * @param ret_outbox  as for sendfd_outbox_open()
 * @return 0, or a negative errno
 *
 * The receiver need not be visible in the caller's pid namespace. Then it cannot be asked whether the
 * caller may signal it, and the users decide: the receiver's own, and its guests; root, too, is a guest
 * there (-EPERM where it is none), for it cannot know as whom the receiver sees it. Nothing tells either
 * that it has ended: with a timeout of NULL, the call waits for ever for an inbox that is gone.
 *
 * As sendfd_outbox_open(), but never -ESRCH, and:
 *
 * -EINVAL      that is no address;
 * -ECONNREFUSED also: the address is of the inbox of a thread whose process is not visible here;
 * -EOPNOTSUPP  the address is of a receiver without inodes for tasks (before Linux 6.9) that is not
 *              visible here, or has ended; or there is nothing to prove with here who listens.
 */
int sendfd_outbox_open_address(const char *address,
                               const struct timespec *timeout,
                               struct sendfd_outbox **ret_outbox);

/**
 * Closes an outbox and frees it; no other thread may use it any more. What was sent and has not been
 * taken stays in the receiver's queue. NULL is fine.
 */
void sendfd_outbox_close(struct sendfd_outbox *outbox);

/**
 * A descriptor that polls writable while there is room in the receiver's queue, and hangs up (POLLHUP)
 * with the receiver. It stays the outbox's: wait for it with poll, select or epoll, and do nothing else
 * with it. For a guest that the receiver has not let in yet, which an outbox can be that was opened with a
 * timeout of {0, 0}, wait for it to become readable (POLLIN) instead.
 *
 * @return the descriptor, or a negative errno
 *
 * -EINVAL  NULL;
 * -EPERM   opened before a fork;
 * -EBADF   the program has closed it behind the library's back.
 */
int sendfd_outbox_fileno(const struct sendfd_outbox *outbox);

/**
 * Queues a parcel through an outbox, all of it or nothing.
 *
 * @param outbox   from sendfd_outbox_open()
 * @param fds      nfds descriptors, which stay the caller's
 * @param nfds     0 to SENDFD_MAX_FDS
 * @param data     len bytes that travel with them; may be NULL if len is 0
 * @param len      0 to SENDFD_MAX_DATA
 * @param timeout  how long to wait for room in a full queue
 * @return 0, or a negative errno
 *
 * Success means that the kernel holds the parcel in the receiver's queue, whatever becomes of the
 * caller. sendfd_outbox_wait_taken() tells when it has been taken.
 *
 * -EPIPE         the inbox is closed, or its process dead;
 * -EAGAIN        its queue is full, or it has not let in this guest yet, with a timeout of {0, 0};
 * -ETIMEDOUT     it was still full at the deadline;
 * -EINVAL        NULL, too many descriptors, one that the kernel does not pass, or a bad timeout;
 * -EBADF         a descriptor is not open;
 * -EMSGSIZE      len is more than SENDFD_MAX_DATA;
 * -ETOOMANYREFS  too many descriptors of this user are in flight;
 * -EPERM         opened before a fork;
 * -ENOMEM, -ENOBUFS no memory.
 *
 * Signal handlers run while it waits and do not end the wait.
 */
int sendfd_outbox_send(struct sendfd_outbox *outbox,
                       const int *fds,
                       size_t nfds,
                       const void *data,
                       size_t len,
                       const struct timespec *timeout);

/**
 * Waits until the receiver has taken everything that was sent through an outbox.
 *
 * @param outbox   from sendfd_outbox_open()
 * @param timeout  how long to wait
 * @return 0 when all has been taken; or a negative errno
 *
 * "Taken" means: out of the queue and in that process's hands, or discarded by it on purpose. It does
 * not mean: used. Where nothing was sent, 0.
 *
 * -EAGAIN      not yet, with a timeout of {0, 0};
 * -ETIMEDOUT   not before the deadline;
 * -ECONNRESET  the inbox was closed or its process died with something untaken, which is released;
 * -EINTR       a signal handler ran, or the process was stopped and goes on; nothing is lost by it;
 * -EINVAL      NULL, or a bad timeout;
 * -EPERM       opened before a fork;
 * -EMFILE, -ENFILE  no descriptor left to wait with (it takes two);
 * -ENOMEM, -ENOBUFS no memory;
 * -ENOSPC      /proc/sys/fs/epoll/max_user_watches is reached;
 * -ENOTTY      what stands for the kernel does not tell how much is unread (SIOCOUTQ).
 */
int sendfd_outbox_wait_taken(struct sendfd_outbox *outbox,
                             const struct timespec *timeout);

/**
 * Sends a request through an outbox and waits for the answer.
 *
 * @param outbox    from sendfd_outbox_open()
 * @param fds       as for sendfd_outbox_send()
 * @param nfds      as for sendfd_outbox_send()
 * @param data      as for sendfd_outbox_send()
 * @param len       as for sendfd_outbox_send()
 * @param ret_fds   room for max_fds descriptors, close-on-exec, the caller's to close
 * @param max_fds   SENDFD_MAX_FDS is always enough
 * @param ret_data  room for max_len bytes
 * @param max_len   SENDFD_MAX_DATA is always enough
 * @param ret_info  who answered, and how much it is; may be NULL
 * @param timeout   how long to wait, for room in the queue and for the answer together
 * @return how many descriptors there are in ret_fds; or a negative errno
 *
 * Any number of threads may have requests under way over one outbox. ret_info->pid, uid and gid are
 * the answerer's, as it told the kernel: the place for the answer may have been handed on.
 *
 * As sendfd_outbox_send(), and:
 *
 * -ECONNRESET  there will be no answer: the place for it was closed unanswered, or its holder died;
 * -EAGAIN, -ETIMEDOUT  no answer in time; the request is not taken back;
 * -EMSGSIZE    len is more than SENDFD_MAX_DATA; or the answer does not fit: it is released, and
 *              ret_info is filled;
 * -EMFILE, -ENFILE  no descriptor left for the request (it takes two); or no room for the answer's:
 *              it is released;
 * -EACCES      the kernel refuses the answer's descriptors to this process; it is released;
 * -EPROTO      what came is no answer, or in another protocol version;
 * -EINVAL      NULL with a count.
 *
 * Signal handlers run while it waits and do not end the wait.
 */
int sendfd_outbox_request(struct sendfd_outbox *outbox,
                          const int *fds,
                          size_t nfds,
                          const void *data,
                          size_t len,
                          int *ret_fds,
                          size_t max_fds,
                          void *ret_data,
                          size_t max_len,
                          struct sendfd_info *ret_info,
                          const struct timespec *timeout);

/**
 * Answers a request, once. Never waits.
 *
 * @param reply  from ret_info->reply; it stays open and is the caller's to close, before or after
 * @param fds    as for sendfd_outbox_send()
 * @param nfds   as for sendfd_outbox_send()
 * @param data   as for sendfd_outbox_send()
 * @param len    as for sendfd_outbox_send()
 * @return 0, or a negative errno
 *
 * From any thread, at any time after the request was taken; also after its inbox was closed. Closing
 * reply unanswered tells the asker -ECONNRESET at once. Success means that the kernel holds the answer
 * for the asker; not that the asker takes it. After a failure another try may be made.
 *
 * -EPIPE         the asker is gone, or has been answered;
 * -EINVAL        NULL with a count, too many descriptors, one that the kernel does not pass, or reply is
 *                no such place;
 * -EBADF         reply, or a descriptor to be sent, is not open;
 * -ENOTSOCK      reply is no such place;
 * -EMSGSIZE      len is more than SENDFD_MAX_DATA;
 * -EAGAIN        there is no room, which only the asker can bring about;
 * -ETOOMANYREFS  too many descriptors of this user are in flight;
 * -ENOMEM, -ENOBUFS no memory.
 */
int sendfd_reply(int reply,
                 const int *fds,
                 size_t nfds,
                 const void *data,
                 size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SENDFD_H */
