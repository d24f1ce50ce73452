/* refuse CALL[/ARG]=ERRNO... [-l LIBRARY] -- PROGRAM [ARGUMENTS]
 *
 * Runs a program on a kernel that answers ERRNO to CALL (with ARG as the argument that tells its kinds
 * apart, if given): how an older kernel looks to it. The library is loaded before the program's own.
 * refuse pidfd_open=ENOSYS getsockopt/77=ENOPROTOOPT -- prog */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct call {
	const char *name;
	long number;
	unsigned kind; /* the argument that tells its kinds apart, from 0 */
} CALLS[] = {
	{"pidfd_open", SYS_pidfd_open, 1}, {"pidfd_send_signal", SYS_pidfd_send_signal, 1},
	{"getsockopt", SYS_getsockopt, 2}, {"setsockopt", SYS_setsockopt, 2},
	{"madvise", SYS_madvise, 2},       {"kcmp", SYS_kcmp, 2},
};

static const struct call *call_of(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++)
		if (strlen(CALLS[i].name) == len && strncmp(CALLS[i].name, name, len) == 0)
			return &CALLS[i];
	fprintf(stderr, "refuse: %s: not a call that is known here\n", name);
	exit(2);
}

static unsigned errno_of(const char *name)
{
	for (int error = 1; error < 200; error++) {
		const char *known = strerrorname_np(error);
		if (known && strcmp(known, name) == 0)
			return (unsigned)error;
	}
	fprintf(stderr, "refuse: %s: no errno\n", name);
	exit(2);
}

static struct sock_filter code[100];
static unsigned short length;

static void emit(unsigned short op, unsigned value, unsigned char yes, unsigned char no)
{
	code[length++] = (struct sock_filter){op, yes, no, value};
}

static void refuse(const char *rule)
{
	const char *end = strpbrk(rule, "/="), *error = strchr(rule, '=');
	if (!end || !error || length > 80) {
		fprintf(stderr, "refuse: %s: want CALL[/ARG]=ERRNO\n", rule);
		exit(2);
	}
	const struct call *call = call_of(rule, (size_t)(end - rule));
	emit(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	emit(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call->number, 0, *end == '/' ? 3 : 1);
	if (*end == '/') {
		/* the low half, on a little-endian machine */
		emit(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + call->kind * sizeof(uint64_t), 0, 0);
		emit(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(end + 1), 0, 1);
	}
	emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno_of(error + 1), 0, 0);
}

int main(int argc, char **argv)
{
	int i = 1;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "-l") != 0)
			refuse(argv[i]);
		else if (++i == argc || setenv("LD_PRELOAD", argv[i], 1) != 0)
			return 2;
	}
	if (i + 1 >= argc) {
		fprintf(stderr, "usage: refuse CALL[/ARG]=ERRNO... [-l LIBRARY] -- PROGRAM [ARGUMENTS]\n");
		return 2;
	}
	emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	struct sock_fprog program = {length, code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		printf("SKIPPED: no seccomp filters here: %s\n", strerrorname_np(errno));
		return 77;
	}
	execv(argv[i + 1], argv + i + 1);
	fprintf(stderr, "refuse: %s: %s\n", argv[i + 1], strerrorname_np(errno));
	return 2;
}
