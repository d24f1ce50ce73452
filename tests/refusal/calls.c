/* What each system call may fail with. */
#include "refusal.h"

#include <sys/syscall.h>

/* Any of them can be refused by a sandbox, or be missing. */
#define ERRORS(...) (const int[]){__VA_ARGS__, EPERM, ENOSYS, 0}
#define CALL(name, ...) [SYS_##name] = {#name, ERRORS(__VA_ARGS__)}
#define ONLY_REFUSED(name) [SYS_##name] = {#name, (const int[]){EPERM, ENOSYS, 0}}

static const struct {
	const char *name;
	const int *errors;
} TABLE[CALLS] = {
	CALL(socket, EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT),
	CALL(connect, ECONNREFUSED, EAGAIN, EINTR, ENOMEM, EACCES),
	CALL(bind, EADDRINUSE, ENOMEM, EACCES, ENOSPC),
	CALL(listen, EADDRINUSE),
	CALL(accept4, EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EINTR, EAGAIN),
	CALL(setsockopt, ENOMEM, ENOBUFS),
	CALL(getsockopt, ENOMEM, ENOBUFS),
	[PEERPIDFD] = {"getsockopt/PEERPIDFD", ERRORS(ENOPROTOOPT, EMFILE, ENFILE, ENOMEM, ESRCH, ENODATA, EINVAL)},
	CALL(getpeername, ENOTCONN, ENOBUFS),
	CALL(socketpair, EMFILE, ENFILE, ENOBUFS, ENOMEM),
	CALL(shutdown, ENOTCONN),
	CALL(pidfd_open, EMFILE, ENFILE, ENOMEM, ESRCH, EINVAL),
	CALL(pidfd_send_signal, ESRCH, EINVAL),
	CALL(kill, ESRCH),
	CALL(tgkill, ESRCH, EAGAIN),
	CALL(rt_tgsigqueueinfo, EAGAIN, ESRCH),
	CALL(fcntl, EMFILE, EINVAL, ENOMEM),
	CALL(fstat, ENOMEM),
#ifdef SYS_newfstatat
	CALL(newfstatat, ENOMEM),
#endif
	CALL(statx, ENOMEM, EACCES),
	CALL(fstatfs, ENOMEM),
	CALL(openat, EMFILE, ENFILE, ENOENT, EACCES, ENOMEM, EINTR),
	CALL(openat2, EMFILE, ENFILE, ENOENT, EACCES, ENOMEM, EAGAIN, EXDEV, ELOOP, EINVAL),
	CALL(renameat, ENOSPC, EROFS, EACCES, EISDIR, ENOENT, ENOMEM),
	CALL(unlinkat, EROFS, EACCES, ENOENT),
#ifdef SYS_chmod
	CALL(chmod, EROFS, EACCES, ENOENT, ENOMEM),
#endif
	CALL(fchmodat, EROFS, EACCES, ENOENT, ENOMEM),
	CALL(read, EINTR, ESRCH, ENOMEM),
	ONLY_REFUSED(write),
	CALL(lseek, EINVAL),
	CALL(getdents64, ENOENT, ENOMEM),
	CALL(readlinkat, ENOENT, EACCES, ENOMEM),
	CALL(epoll_create1, EMFILE, ENFILE, ENOMEM),
	ONLY_REFUSED(epoll_ctl),
	[EPOLL_ADD] = {"epoll_ctl/ADD", ERRORS(ENOMEM, ENOSPC)},
	CALL(epoll_pwait, EINTR),
	CALL(ppoll, EINTR, ENOMEM),
#ifdef SYS_poll
	CALL(epoll_wait, EINTR),
	CALL(poll, EINTR, ENOMEM),
	CALL(readlink, ENOENT, EACCES, ENOMEM),
#endif
	CALL(eventfd2, EMFILE, ENFILE, ENOMEM),
	CALL(ioctl, ENOTTY, ENOMEM),
	CALL(sendmsg, EAGAIN, ENOBUFS, ENOMEM, ETOOMANYREFS, EINTR, EPIPE, ECONNRESET, ENOTCONN),
	CALL(recvmsg, EAGAIN, ENOMEM, ENOBUFS, EINTR, ECONNRESET),
	CALL(recvfrom, EAGAIN, ENOMEM, ENOBUFS, EINTR, ECONNRESET),
	CALL(rt_sigtimedwait, EAGAIN, EINTR),
	CALL(close, EINTR, EIO),
	CALL(clone, EAGAIN, ENOMEM),
#ifdef SYS_clone3
	CALL(clone3, EAGAIN, ENOMEM),
#endif
	CALL(kcmp, ESRCH),
	CALL(mmap, ENOMEM),
	CALL(madvise, EINVAL, ENOMEM),
	CALL(prlimit64, EFAULT),
	ONLY_REFUSED(rt_sigaction),
	ONLY_REFUSED(rt_sigprocmask),
	ONLY_REFUSED(rt_sigpending),
	ONLY_REFUSED(capget),
	ONLY_REFUSED(setns),
	ONLY_REFUSED(getrandom),
};

static const int EXEMPT[] = {
	SYS_getpid,       SYS_gettid,  SYS_getuid,   SYS_geteuid,       SYS_getresuid,       SYS_getppid,
	SYS_futex,        SYS_brk,     SYS_munmap,   SYS_mprotect,      SYS_mremap,          SYS_sched_yield,
	SYS_exit,         SYS_exit_group, SYS_clock_gettime, SYS_rt_sigreturn, SYS_restart_syscall,
};

/* No call is interrupted each time, and a reset is told once. */
bool can_last(int error) { return error != EINTR && error != ECONNRESET; }

const char *call_name(int number) { return number >= 0 && number < CALLS ? TABLE[number].name : NULL; }
const int *errors_of(int number) { return TABLE[number].errors; }

bool is_exempt(int number)
{
	for (size_t i = 0; i < sizeof EXEMPT / sizeof *EXEMPT; i++)
		if (EXEMPT[i] == number)
			return true;
	return false;
}
