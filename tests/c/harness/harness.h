/* The bench every C test stands on.
 *
 *   TEST(name) { ... }                 one test; `prog --list` names them, `prog name` runs one
 *   TEST_LIMIT(name, seconds) {}       with another time limit (default 20 s)
 *   TEST_NEEDS(name, ROOT | PIDFD) {}  one that needs something that not every machine gives
 *
 * A test fails by CHECK (in any thread and any child), by its time limit, by a child that fails, or by
 * descriptors that the process did not have at the start. Where a need is not met, `--list` says so
 * after the name, and running it prints the reason and ends with status 77. SKIP does that at any time.
 * SENDFD_TEST_SLOWER=N multiplies the time limits (valgrind, a loaded machine), also those of children: they
 * have what is left to the test.
 */
#ifndef HARNESS_H
#define HARNESS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sendfd.h"

#define S SENDFD_SIGNO
#define LEN(array) (sizeof(array) / sizeof(*(array)))

#ifndef SYS_epoll_wait /* aarch64: what epoll_wait() calls there */
#define SYS_epoll_wait SYS_epoll_pwait
#endif

/* --- tests and checks ------------------------------------------------------------------------- */
enum need {
	ROOT = 1,           /* to become other users */
	PIDFD = 2,          /* pidfd_open */
	PID_NAMESPACE = 4,  /* with a /proc of its own */
	NET_NAMESPACE = 8,  /* an empty list of sockets */
	IO_URING = 16,
	SECCOMP = 32,
	PTRACE = 64,
	USER_NAMESPACE = 128,
	LANDLOCK_SCOPES = 256,
	PIDFS = 512, /* an inode for each task */
	TIME_NAMESPACE = 1024,
	PEER_PIDFDS = 2048, /* peers_can_be_asked_for() */
};
void test_register(const char *name, void (*run)(void), unsigned seconds, unsigned needs);
const char *what_is_missing(unsigned needs); /* NULL: nothing */
void test_fail(const char *file, int line, int error, const char *what, const char *format, ...)
	__attribute__((noreturn, format(printf, 5, 6)));
void test_skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
const char *errno_name(int error);
unsigned slower(void); /* what SENDFD_TEST_SLOWER says */
void limit_time(unsigned seconds); /* of a process that fork_child did not make */

#define TEST_WITH(name, seconds, needs)                                                                       \
	static void test_##name(void);                                                                        \
	__attribute__((constructor)) static void register_##name(void)                                        \
	{                                                                                                     \
		test_register(#name, test_##name, seconds, needs);                                            \
	}                                                                                                     \
	static void test_##name(void)
#define TEST(name) TEST_WITH(name, 20, 0)
#define TEST_LIMIT(name, seconds) TEST_WITH(name, seconds, 0)
#define TEST_NEEDS(name, needs) TEST_WITH(name, 20, needs)

#define CHECK(condition, ...)                                                                                 \
	do {                                                                                                  \
		if (!(condition))                                                                             \
			test_fail(__FILE__, __LINE__, errno, #condition, " " __VA_ARGS__);                    \
	} while (0)
#define CHECK_EQ(left, right)                                                                                 \
	do {                                                                                                  \
		long long left_ = (long long)(left), right_ = (long long)(right);                             \
		if (left_ != right_)                                                                          \
			test_fail(__FILE__, __LINE__, errno, #left " == " #right, " %lld, not %lld", left_,   \
				  right_);                                                                    \
	} while (0)
/* The call gives -error, and errno is set to it. */
#define CHECK_ERR(call, error)                                                                                \
	do {                                                                                                  \
		errno = 0;                                                                                    \
		int result_ = (call), errno_ = errno;                                                         \
		if (result_ != -(error) || errno_ != (error))                                                 \
			test_fail(__FILE__, __LINE__, 0, #call " is -" #error, " returned %d (%s), errno %d (%s)", \
				  result_, errno_name(-result_), errno_, errno_name(errno_));                 \
	} while (0)
/* The call gives -ETIMEDOUT after so many milliseconds: never early, and at most 50 late (on a slower
 * machine more). A machine under load may be late by itself, so it has a few tries. */
#define CHECK_TIMES_OUT(call, ms)                                                                             \
	do {                                                                                                  \
		long late_ = 0;                                                                               \
		for (int try_ = 0; try_ == 0 || (try_ < 5 && late_ > 50 * (long)slower()); try_++) {                           \
			long start_ = now_ms();                                                               \
			CHECK_ERR(call, ETIMEDOUT);                                                           \
			late_ = now_ms() - start_ - (ms);                                                     \
			CHECK(late_ >= -1, "%ld ms early", -late_);                                           \
		}                                                                                             \
		CHECK(late_ <= 50 * (long)slower(), "%ld ms late", late_);                                                     \
	} while (0)
/* The call gives >= 0; its value is the value of the expression. */
#define CHECK_OK(call)                                                                                        \
	({                                                                                                    \
		int result_ = (call);                                                                         \
		if (result_ < 0)                                                                              \
			test_fail(__FILE__, __LINE__, errno, #call, " returned %d (%s)", result_,             \
				  errno_name(-result_));                                                      \
		result_;                                                                                      \
	})
#define SKIP(...) test_skip(__VA_ARGS__)

/* --- children --------------------------------------------------------------------------------- */
/* A child has a pipe to its parent and one back. Every wait in a test is a read of such a pipe. */
struct child {
	pid_t pid;
	int to, from;
};
struct child fork_child(void (*run)(void *), void *arg);
void child_tell(struct child *child, long value);
long child_hear(struct child *child);
void child_join(struct child *child); /* it must exit with 0 */
void child_kill(struct child *child); /* SIGKILL, and reaped */
/* in the child */
void parent_tell(long value);
long parent_hear(void);
/* A raw clone, of which no handler of fork() knows: it holds the sockets, and calls nothing of the library. */
pid_t clone_that_stays(void);
char state_of(pid_t pid); /* as the kernel shows it: 'S' sleeps, 'Z' has ended (its first thread has) */
/* Wait for a pid that is not a struct child; true when it exited with 0. */
bool exited_well(pid_t pid);

/* --- what a child costs ----------------------------------------------------------------------- */
void be_traced(void); /* in the child: stops until the parent traces it */
void mark(void);      /* the calls between two marks count */
/* Until the child ends, with 0: how often it made this call, and in *ret_others how many others. */
long trace_calls(pid_t pid, long number, long *ret_others);
long traced_ms(void); /* how long that took: ten times a second the library looks about, which takes calls, too */

/* --- threads ---------------------------------------------------------------------------------- */
pthread_t thread_start(void *(*run)(void *), void *arg);
void thread_join(pthread_t thread);

/* --- descriptors ------------------------------------------------------------------------------ */
int make_memfd(long number);
long memfd_number(int fd); /* of a memfd made by make_memfd; -1 when it is none */
void take_number(int fd, long number); /* check the number, close the descriptor */
bool same_description(int one, int other); /* dup()s of each other: they share the offset */
int lowest_free(void);
int count_fds(void);
bool is_cloexec(int fd);
bool is_open(int fd);
bool readable(int fd); /* poll() says so now */
/* A pipe: its write end goes out, EOF on the read end proves that every copy is gone. */
struct witness {
	int end, sent;
};
struct witness make_witness(void);
bool witness_released(int end, int ms);
#define LINGERS 6 /* seconds that the last close of a lingering socket takes while its other side is open */
int lingering_socket(int *ret_other);

/* --- inboxes ---------------------------------------------------------------------------------- */
extern const struct timespec NOW; /* {0, 0} */
struct timespec in_ms(long ms);
sendfd_inbox *open_inbox(int sig, unsigned flags);
sendfd_outbox *open_outbox(pid_t pid, int sig); /* with 10 s */
void *ask_for_ever(void *outbox); /* for a thread: one descriptor, and no room for an answer's */
int recv_soon(sendfd_inbox *inbox, sendfd_info *info); /* sendfd_recv with 10 s, checked; the fd */
void expect_number(sendfd_inbox *inbox, long number);
void expect_empty(sendfd_inbox *inbox);
void look_while(sendfd_inbox *inbox, struct child *child); /* no mail comes until the child has something to tell */
/* A child that sends to its parent: each number that it hears is one parcel, of so many descriptors where it is
 * negative, otherwise of one that has this number. */
#define SO_MANY(count) (-(count))
void sends_what_it_hears(void *arg);
void let_send(struct child *sender, long order); /* tells a child, and hears that it is done */
void let_end(struct child *sender); /* tells it 0, by which it ends */
void fill_mailbox(pid_t pid, int sig, int *ret_sent); /* until EAGAIN */
void send_memfd(pid_t pid, long number);
void send_memfd_from_child(pid_t pid, long number);
int send_among_many(pid_t pid, long number); /* by root without powers: all that root has in flight counts */
void forget_dead_links(void); /* called before the descriptors are counted at the end */
/* The abstract name (without the zero byte) of the listener that pid holds for sig. */
void inbox_name(pid_t pid, int sig, char *ret_name, size_t room);
int raw_connect(const char *name); /* around the library; -errno */
int raw_listen(const char *name);
int listen_at(const char *path, int type); /* at a file, likewise */
int connect_at(const char *path); /* -1 and errno */
int raw_send(int socket, const void *bytes, size_t len, const int *fds, size_t nfds); /* -errno */
struct wire {
	char magic[4];
	uint16_t version, nfds;
	uint32_t len, flags;
};
#define WIRE(n, l) ((struct wire){{'s', 'n', 'd', 'f'}, 1, (n), (l), 0})
#define WIRE_REPLY(n, l) ((struct wire){{'s', 'n', 'd', 'f'}, 1, (n), (l), 1})

/* --- the machine ------------------------------------------------------------------------------ */
long now_ms(void);
void set_limit(int resource, rlim_t limit); /* the soft one; skips the test where the hard one is less */
void raise_limits(void); /* the soft ones, as far as the hard ones let them be of use */
void need_limit(int resource, rlim_t least); /* of the soft one; raises it, and skips the test where it cannot */
void need_backlog(rlim_t connections, unsigned flags); /* that wait to be accepted by an inbox with these flags */
void need_signals(long count); /* skips the test where no more than that can be queued to our processes */
long queued_signals(void);
void become(uid_t uid); /* for good, group and supplementary groups, too */
uid_t lonely_uid(void); /* one that no other running test has: limits are per user */
int my_pidfd_open(pid_t pid); /* -1 and errno */
ino_t inode_of(pid_t pid); /* of its pidfd */
bool have_pidfd(void);
bool peers_can_be_asked_for(void); /* whether the kernel tells who may signal the peer of a socket */
bool pending(int sig);
uint64_t mask_now(void); /* this thread's blocked signals, bit 0 is signal 1 */
sigset_t set_of(int sig, ...); /* ends with 0 */
void refuse_call(long number, int error); /* from now on this call gives error (seccomp) */
enum scope { ABSTRACT_SOCKETS = 1, SIGNALS = 2 };
bool landlock_scope(uint64_t scopes); /* nothing outside is reached from now on */
void on_a_tmpfs(const char *options); /* that is on /mnt in a mount namespace of its own, and SENDFD_DIR */
void have_only(unsigned capabilities); /* of all that root has */
void be_contained(void); /* no_new_privs, and the calls that containers have by default (seccomp) */
#endif
