/* KERNEL: a filter that asks (SECCOMP_RET_USER_NOTIF) can let the same call pass at one time and refuse it at
 * another. It binds the thread that installs it; another thread of the process answers. */
#include "refusal.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int calls_made[CALLS];
bool was_refused;

static atomic_bool armed;
static atomic_int listener = -1, worker_id;

/* a number of its own for what can fail in other ways */
#define PEERPIDFD (CALLS - 1)
#define SO_PEERPIDFD 77

#define ERRORS(...) (const int[]){__VA_ARGS__, EPERM, ENOSYS, 0}
#define CALL(name, ...) [SYS_##name] = {#name, ERRORS(__VA_ARGS__)}

/* What each may fail with. Calls that are not here cannot fail, or are not the library's. */
static const struct {
	const char *name;
	const int *errors;
} TABLE[CALLS] = {
	CALL(socket, EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES),
	CALL(connect, ECONNREFUSED, EAGAIN, EINTR, ENOMEM, EACCES),
	CALL(bind, EADDRINUSE, ENOMEM, EACCES),
	CALL(listen, EADDRINUSE),
	CALL(accept4, EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EINTR, EAGAIN),
	CALL(setsockopt, ENOMEM),
	CALL(getsockopt, ENOMEM),
	[PEERPIDFD] = {"getsockopt/PEERPIDFD", ERRORS(ENOPROTOOPT, EMFILE, ENFILE, ENOMEM, ESRCH, ENODATA, EINVAL)},
	CALL(shutdown, ENOTCONN),
	CALL(pidfd_open, EMFILE, ENFILE, ENOMEM, ESRCH, EINVAL),
	CALL(pidfd_send_signal, ESRCH, EINVAL),
	CALL(kill, ESRCH),
	CALL(tgkill, ESRCH, EAGAIN),
	CALL(rt_tgsigqueueinfo, EAGAIN, ESRCH),
	CALL(fcntl, EMFILE, EINVAL),
	CALL(fstat, ENOMEM),
	CALL(newfstatat, ENOMEM),
	CALL(statx, ENOMEM),
	CALL(fstatfs, ENOMEM),
	CALL(openat, EMFILE, ENFILE, ENOENT, EACCES, ENOMEM, EINTR),
	CALL(read, EINTR, ESRCH, EIO),
	CALL(readlink, ENOENT, EACCES),
	CALL(epoll_create1, EMFILE, ENFILE, ENOMEM),
	CALL(epoll_ctl, ENOMEM, ENOSPC),
	CALL(epoll_wait, EINTR),
	CALL(poll, EINTR, ENOMEM),
	CALL(eventfd2, EMFILE, ENFILE, ENOMEM),
	CALL(ioctl, ENOTTY),
	CALL(sendmsg, EAGAIN, ENOBUFS, ENOMEM, ETOOMANYREFS, EINTR, EPIPE, ECONNRESET),
	CALL(recvmsg, EAGAIN, ENOMEM, EINTR),
	CALL(recvfrom, EAGAIN, ENOMEM, EINTR),
	CALL(rt_sigtimedwait, EAGAIN, EINTR),
	CALL(close, EINTR, EIO),
	CALL(mmap, ENOMEM),
	CALL(madvise, EINVAL, ENOMEM),
	CALL(prlimit64, EFAULT),
};

const char *call_name(int number) { return number < CALLS ? TABLE[number].name : NULL; }
const int *errors_of(int number) { return TABLE[number].errors; }

static void install_filter(void)
{
	static struct sock_filter code[2 * CALLS + 3];
	unsigned short n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned number = 0; number < CALLS; number++) {
		if (!TABLE[number].name)
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {n, code};
	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	NEED(fd >= 0);
	listener = fd;
}

static void *worker(void *arg)
{
	void (*work)(void) = *(void (**)(void))arg;
	worker_id = (int)syscall(SYS_gettid);
	install_filter();
	work();
	return NULL;
}

void arm(void) { armed = true; }
void disarm(void) { armed = false; }

/* Of all mappings only the library's own page counts: not those of malloc. */
static bool is_the_librarys(const struct seccomp_data *call)
{
	return call->nr != SYS_mmap || call->args[1] <= 4096;
}

static void answer(int fd, const struct refusal *refusal)
{
	struct seccomp_notif call;
	memset(&call, 0, sizeof call);
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return; /* the thread was interrupted, and asks again */
	struct seccomp_notif_resp response = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	int number = call.data.nr == SYS_getsockopt && call.data.args[2] == SO_PEERPIDFD ? PEERPIDFD : call.data.nr;
	/* not those of a peer, which has inherited the filter */
	if (armed && (int)call.pid == worker_id && is_the_librarys(&call.data)) {
		int use = ++calls_made[number];
		if (refusal->error && number == refusal->number && (!refusal->use || use == refusal->use)) {
			/* KERNEL: close() lets go of the number whatever it says. */
			if (call.data.nr == SYS_close)
				close((int)call.data.args[0]);
			response.flags = 0;
			response.error = -refusal->error;
			was_refused = true;
		}
	}
	ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void supervise(const struct refusal *refusal, void (*work)(void))
{
	pthread_t thread;
	NEED(pthread_create(&thread, NULL, worker, &work) == 0);
	while (listener < 0)
		sched_yield();
	for (;;) {
		struct pollfd ready = {listener, POLLIN, 0};
		NEED(poll(&ready, 1, -1) == 1 || errno == EINTR);
		if (ready.revents & POLLIN)
			answer(listener, refusal);
		else if (ready.revents & POLLHUP)
			break; /* the thread has ended */
	}
	pthread_join(thread, NULL);
}
