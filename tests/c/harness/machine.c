/* Limits, users, signals, and what this machine can do. */
#include "harness.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/vfs.h>

long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void lacks(int resource, rlim_t least, rlim_t now)
{
	const char *name = resource == RLIMIT_NOFILE ? "RLIMIT_NOFILE" :
			   resource == RLIMIT_SIGPENDING ? "RLIMIT_SIGPENDING" : "a resource limit";
	SKIP("needs %s of %lu, here it is %lu", name, (unsigned long)least, (unsigned long)now);
}

void set_limit(int resource, rlim_t limit)
{
	struct rlimit both;
	CHECK(getrlimit(resource, &both) == 0);
	if (both.rlim_max < limit)
		lacks(resource, limit, both.rlim_max);
	both.rlim_cur = limit;
	CHECK(setrlimit(resource, &both) == 0);
}

void raise_limits(void)
{
	struct rlimit files;
	CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
	if (files.rlim_cur < 20000)
		set_limit(RLIMIT_NOFILE, files.rlim_max < 20000 ? files.rlim_max : 20000);
}

void need_limit(int resource, rlim_t least)
{
	struct rlimit both;
	CHECK(getrlimit(resource, &both) == 0);
	if (both.rlim_cur < least)
		set_limit(resource, least);
}

/* sendfd(7), LIMITS */
void need_backlog(rlim_t connections, unsigned flags)
{
	if (!(flags & SENDFD_INBOX_NOSIGNAL) && connections > 16)
		need_limit(RLIMIT_SIGPENDING, 64 * connections);
}

static long signals_of_this_user(long *ret_limit)
{
	long queued;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");
	CHECK(file);
	do
		CHECK(fgets(line, sizeof line, file));
	while (sscanf(line, "SigQ: %ld/%ld", &queued, ret_limit) != 2);
	fclose(file);
	return queued;
}

long queued_signals(void)
{
	long limit;
	return signals_of_this_user(&limit);
}

void need_signals(long count)
{
	struct rlimit both;
	CHECK(getrlimit(RLIMIT_SIGPENDING, &both) == 0);
	set_limit(RLIMIT_SIGPENDING, both.rlim_max);
	long limit, queued = signals_of_this_user(&limit);
	if (queued + count > limit)
		SKIP("needs room for %ld more signals, here %ld are queued, and %ld are allowed", count, queued, limit);
}

void become(uid_t uid)
{
	CHECK(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
}

uid_t lonely_uid(void)
{
	return 1000000 + (uid_t)getpid();
}

int my_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

ino_t inode_of(pid_t pid)
{
	struct stat stat;
	int pidfd = my_pidfd_open(pid);
	CHECK(pidfd >= 0 && fstat(pidfd, &stat) == 0);
	close(pidfd);
	return stat.st_ino;
}

bool have_pidfd(void)
{
	int fd = my_pidfd_open(getpid());
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

bool peers_can_be_asked_for(void)
{
	int pair[2], pidfd = -1;
	socklen_t len = sizeof pidfd;
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	bool can = getsockopt(pair[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &len) == 0;
	can = can && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
	close(pair[0]);
	close(pair[1]);
	if (pidfd >= 0)
		close(pidfd);
	return can;
}

bool pending(int sig)
{
	sigset_t set;
	CHECK(sigpending(&set) == 0);
	return sigismember(&set, sig);
}

uint64_t mask_now(void)
{
	uint64_t mask = 0;
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask) == 0);
	return mask;
}

sigset_t set_of(int sig, ...)
{
	sigset_t set;
	sigemptyset(&set);
	va_list args;
	va_start(args, sig);
	for (; sig; sig = va_arg(args, int))
		sigaddset(&set, sig);
	va_end(args);
	return set;
}

void refuse_call(long number, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* --- needs: each is tried in a child ------------------------------------------------------------ */
static bool gets_namespaces(int flags)
{
	if (unshare(flags) != 0)
		return false;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		      ((flags & CLONE_NEWPID) && mount("proc", "/proc", "proc", 0, NULL) != 0));
	return exited_well(pid);
}

static bool is_met(enum need need)
{
	unsigned words[64] = {0};
	struct statfs fs;
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &allow};
	switch (need) {
	case ROOT:
		return setgroups(0, NULL) == 0 && setresgid(1, 1, 1) == 0 && setresuid(1, 1, 1) == 0;
	case PIDFD:
		return have_pidfd();
	case PID_NAMESPACE:
		return gets_namespaces(CLONE_NEWPID);
	case NET_NAMESPACE:
		return gets_namespaces(CLONE_NEWNET);
	case IO_URING:
		return syscall(SYS_io_uring_setup, 1, words) >= 0;
	case SECCOMP:
		return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
	case PTRACE:
		return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0;
	case USER_NAMESPACE:
		return unshare(CLONE_NEWUSER) == 0;
	case LANDLOCK_SCOPES:
		return landlock_scope(ABSTRACT_SOCKETS | SIGNALS);
	case PIDFS:
		return fstatfs(my_pidfd_open(getpid()), &fs) == 0 && fs.f_type == 0x50494446;
	case TIME_NAMESPACE:
		return unshare(CLONE_NEWTIME) == 0;
	case PEER_PIDFDS:
		return peers_can_be_asked_for();
	}
	return false;
}

const char *what_is_missing(unsigned needs)
{
	static const char *const reasons[] = {"needs root, to become other users", "needs pidfd_open",
					      "needs a pid namespace of its own",
					      "needs a network namespace of its own", "needs io_uring",
					      "needs seccomp filters", "needs ptrace",
					      "needs a user namespace of its own",
					      "needs Landlock with scopes (Linux 6.12)",
					      "needs inodes of pidfds (Linux 6.9)",
					      "needs a time namespace of its own",
					      "needs pidfds of peers (Linux 6.5)"};
	for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		if (!(needs & 1u << i))
			continue;
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0)
			_exit(!is_met(1u << i));
		if (!exited_well(pid))
			return reasons[i];
	}
	return NULL;
}
