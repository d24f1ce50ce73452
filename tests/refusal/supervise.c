/* KERNEL: a filter that asks (SECCOMP_RET_USER_NOTIF) can let the same call pass at one time and refuse it at
 * another. It binds the thread that installs it and what that forks; another thread of the process answers. */
#include "refusal.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define SO_PEERPIDFD_NUMBER 77
#define PIDFD_THREAD_FLAG O_EXCL
#define ANON_INODE_MAGIC 0x09041934

const char *const MACHINE_NAMES[MACHINES] = {"this-kernel", "no-pidfs", "no-peerpidfd", "no-pidfd_open"};

int calls_made[CALLS], unknown_call = -1;
bool was_refused;

static atomic_bool armed;
static atomic_int listener = -1, worker_id;

static void install_filter(void)
{
	static struct sock_filter code[CALLS + 3];
	unsigned short n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned number = 0; number < CALLS; number++) {
		if (!is_exempt((int)number))
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
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

/* Of all mappings only the library's own page counts: not those of malloc. And to give back a mask is not
 * refused: what was asked for could not be had then. */
static bool counts(const struct seccomp_data *call)
{
	if (call->nr == SYS_mmap)
		return call->args[1] <= 4096 && (int)call->args[4] == -1;
	return call->nr != SYS_rt_sigprocmask || call->args[0] == SIG_BLOCK;
}

bool lacks(enum machine machine, int number)
{
	return (machine >= NO_PEERPIDFD && number == PEERPIDFD) ||
	       (machine >= NO_PIDFD_OPEN && (number == SYS_pidfd_open || number == SYS_pidfd_send_signal));
}

/* All pidfds share one inode of a file system without a name. */
static int tell_of_no_pidfs(pid_t pid, uint64_t address)
{
	char path[40];
	struct statfs fs = {.f_type = ANON_INODE_MAGIC, .f_bsize = 4096, .f_namelen = 255};
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	NEED(fd >= 0 && pwrite(fd, &fs, sizeof fs, (off_t)address) == sizeof fs);
	return close(fd);
}

/* As an older kernel answers it, if that differs. */
static void answer_as(enum machine machine, const struct seccomp_notif *call, int number,
		      struct seccomp_notif_resp *response)
{
	if (machine >= NO_PIDFS && number == SYS_fstatfs)
		response->error = tell_of_no_pidfs((pid_t)call->pid, call->data.args[1]);
	else if (lacks(machine, number))
		response->error = number == PEERPIDFD ? -ENOPROTOOPT : -ENOSYS;
	else if (machine >= NO_PIDFS && number == SYS_pidfd_open && (call->data.args[1] & PIDFD_THREAD_FLAG))
		response->error = -EINVAL;
	else
		return;
	response->flags = 0;
}

static int number_of(const struct seccomp_data *call)
{
	if (call->nr == SYS_getsockopt && call->args[2] == SO_PEERPIDFD_NUMBER)
		return PEERPIDFD;
	return call->nr == SYS_epoll_ctl && call->args[1] == EPOLL_CTL_ADD ? EPOLL_ADD : call->nr;
}

static bool is_refused(const struct refusal *refusal, int number, int use)
{
	return refusal->error && number == refusal->number &&
	       (use == refusal->use || (refusal->and_more && use > refusal->use));
}

static void answer(int fd, enum machine machine, const struct refusal *refusal)
{
	struct seccomp_notif call;
	memset(&call, 0, sizeof call);
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return; /* the thread was interrupted, and asks again */
	struct seccomp_notif_resp response = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	int number = number_of(&call.data);
	bool refused = false;
	/* not those of a peer, which has inherited the filter */
	if (armed && (int)call.pid == worker_id && counts(&call.data)) {
		if (!call_name(number))
			unknown_call = number;
		refused = is_refused(refusal, number, ++calls_made[number]);
	}
	if (refused) {
		/* KERNEL: close() lets go of the number whatever it says. */
		if (number == SYS_close)
			close((int)call.data.args[0]);
		response.flags = 0;
		response.error = -refusal->error;
		was_refused = true;
	} else {
		answer_as(machine, &call, number, &response);
	}
	ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void supervise(enum machine machine, const struct refusal *refusal, void (*work)(void))
{
	pthread_t thread;
	NEED(pthread_create(&thread, NULL, worker, &work) == 0);
	while (listener < 0)
		sched_yield();
	for (;;) {
		struct pollfd ready = {listener, POLLIN, 0};
		NEED(poll(&ready, 1, -1) == 1 || errno == EINTR);
		if (ready.revents & POLLIN)
			answer(listener, machine, refusal);
		else if (ready.revents & POLLHUP)
			break; /* the thread has ended, and what it forked */
	}
	pthread_join(thread, NULL);
}
