/* What a process enters or gives up for good. */
#include "harness.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>

bool landlock_scope(uint64_t scopes)
{
	struct {
		uint64_t fs, net, scoped;
	} attributes = {0, 0, scopes};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
	if (fd < 0)
		return false;
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	bool done = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	close(fd);
	return done;
}

void on_a_tmpfs(const char *options)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/mnt", "tmpfs", 0, options) == 0);
	CHECK(setenv("SENDFD_DIR", "/mnt", 1) == 0);
}

void have_only(unsigned capabilities)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{capabilities, capabilities, 0}, {0, 0, 0}};
	CHECK(syscall(SYS_capset, &head, sets) == 0);
}

/* Of the calls that the default profile of container engines allows, those that a program with this
 * library and a C library makes; all others are refused as there, with EPERM. */
static const long ALLOWED[] = {
#ifdef SYS_arch_prctl
	SYS_arch_prctl,
#endif
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_poll, SYS_pipe, SYS_readlink, SYS_access, SYS_fork, SYS_vfork, SYS_alarm,
#endif
	SYS_accept, SYS_accept4, SYS_bind, SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep, SYS_close,
	SYS_close_range, SYS_connect, SYS_dup, SYS_dup3, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_wait,
	SYS_eventfd2, SYS_exit, SYS_exit_group, SYS_fcntl, SYS_fstat, SYS_fstatfs, SYS_ftruncate, SYS_futex,
	SYS_getdents64, SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getpid, SYS_getppid, SYS_getrandom,
	SYS_getresgid, SYS_getresuid, SYS_getsockname, SYS_getsockopt, SYS_gettid, SYS_getuid, SYS_ioctl,
	SYS_kill, SYS_listen, SYS_lseek, SYS_madvise, SYS_memfd_create, SYS_mmap, SYS_mprotect, SYS_mremap,
	SYS_munmap, SYS_name_to_handle_at, SYS_nanosleep, SYS_newfstatat, SYS_openat, SYS_pidfd_open,
	SYS_pidfd_send_signal, SYS_pipe2, SYS_ppoll, SYS_prctl, SYS_pread64, SYS_prlimit64, SYS_pwrite64,
	SYS_read, SYS_readlinkat, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_restart_syscall, SYS_rseq,
	SYS_rt_sigaction, SYS_rt_sigpending, SYS_rt_sigprocmask, SYS_rt_sigqueueinfo, SYS_rt_sigreturn,
	SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_tgsigqueueinfo, SYS_sched_yield, SYS_sendmsg, SYS_sendto,
	SYS_set_robust_list, SYS_setitimer, SYS_setrlimit, SYS_setsockopt, SYS_set_tid_address, SYS_shutdown,
	SYS_signalfd4, SYS_socketpair, SYS_statfs, SYS_statx, SYS_sysinfo, SYS_tgkill, SYS_timer_create,
	SYS_timer_delete, SYS_timer_settime, SYS_uname, SYS_wait4, SYS_waitid, SYS_write, SYS_writev,
};

#define COUNT (sizeof ALLOWED / sizeof *ALLOWED)
#define NAMESPACES 0x7e020000u
#define ARGUMENT offsetof(struct seccomp_data, args[0])

void be_contained(void)
{
	struct sock_filter code[2 * COUNT + 16];
	size_t n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < COUNT; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)ALLOWED[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	const struct sock_filter rest[] = {
		/* clone without new namespaces; clone3, whose flags a filter cannot see, as if it were not there */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 4, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		/* sockets but those of virtual machines; whatever else it was, it is refused */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_VSOCK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	memcpy(&code[n], rest, sizeof rest);
	n += sizeof rest / sizeof *rest;
	struct sock_fprog program = {(unsigned short)n, code};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	CHECK(syscall(SYS_unshare, CLONE_NEWNS) < 0 && errno == EPERM);
}
