/* Loaded before a program (LD_PRELOAD): ends it with 99 where the library calls a function at which the calling
 * thread could be cancelled, and writes which one, and from where, to $CANCELLATION_LOG.PID.
 *
 * What waits for mail in epoll_wait() may be cancelled there, unless $CANCELLATION_ALL is set: that proves that
 * this sees something. Threads that the library has started are known to nobody who could cancel them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static uintptr_t begin, end; /* of the library */
static _Thread_local bool of_the_library;

static int find(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size, (void)arg;
	if (!strstr(info->dlpi_name, "/libsendfd.so"))
		return 0;
	begin = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t segment = begin + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
		if (info->dlpi_phdr[i].p_type == PT_LOAD && segment > end)
			end = segment;
	}
	return 1;
}

__attribute__((constructor)) static void find_library(void) { dl_iterate_phdr(find, NULL); }

static void check(void *caller, const char *function)
{
	uintptr_t at = (uintptr_t)caller;
	char path[4096], text[200];
	int state;

	if (at < begin || at >= end || of_the_library)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (state == PTHREAD_CANCEL_DISABLE)
		return;
	snprintf(path, sizeof path, "%s.%d", getenv("CANCELLATION_LOG"), (int)getpid());
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int len = snprintf(text, sizeof text, "can be cancelled: %s() from libsendfd.so+%#lx\n", function,
			   (unsigned long)(at - begin));
	if (log < 0 || write(log, text, (size_t)len) != len)
		_exit(98);
	_exit(99);
}

/* One that is called as `call`, and where it `waits` for mail is let through. */
#define POINT_UNLESS(waits, result, name, parameters, call)                                                            \
	result name parameters                                                                                         \
	{                                                                                                              \
		static result(*next) parameters;                                                                       \
		if (!next)                                                                                             \
			*(void **)&next = dlsym(RTLD_NEXT, #name);                                                     \
		if (!(waits) || getenv("CANCELLATION_ALL"))                                                            \
			check(__builtin_return_address(0), #name);                                                     \
		return next call;                                                                                      \
	}
#define POINT(result, name, parameters, call) POINT_UNLESS(false, result, name, parameters, call)

POINT(int, accept4, (int fd, struct sockaddr *name, socklen_t *len, int flags), (fd, name, len, flags))
POINT(int, close, (int fd), (fd))
POINT(int, connect, (int fd, const struct sockaddr *name, socklen_t len), (fd, name, len))
POINT(int, poll, (struct pollfd *fds, nfds_t count, int ms), (fds, count, ms))
POINT(int, pthread_join, (pthread_t thread, void **ret), (thread, ret))
POINT(ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len))
POINT(ssize_t, recv, (int fd, void *bytes, size_t len, int flags), (fd, bytes, len, flags))
POINT(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
POINT(int, sigtimedwait, (const sigset_t *set, siginfo_t *ret, const struct timespec *limit), (set, ret, limit))
POINT(int, usleep, (useconds_t us), (us))
POINT(pid_t, waitpid, (pid_t pid, int *ret, int options), (pid, ret, options))
POINT(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
POINT_UNLESS(ms != 0, int, epoll_wait, (int fd, struct epoll_event *ret, int most, int ms), (fd, ret, most, ms))

#define OPENS(name, parameters, call)                                                                                  \
	int name parameters                                                                                            \
	{                                                                                                              \
		static int(*next) parameters;                                                                          \
		va_list more;                                                                                          \
		if (!next)                                                                                             \
			*(void **)&next = dlsym(RTLD_NEXT, #name);                                                     \
		check(__builtin_return_address(0), #name);                                                             \
		va_start(more, flags);                                                                                 \
		mode_t mode = va_arg(more, mode_t);                                                                    \
		va_end(more);                                                                                          \
		return next call;                                                                                      \
	}
OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))

struct start {
	void *(*run)(void *);
	void *arg;
};

static void *start(void *arg)
{
	struct start this = *(struct start *)arg;
	free(arg);
	of_the_library = true;
	return this.run(this.arg);
}

int pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	uintptr_t at = (uintptr_t)__builtin_return_address(0);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
	if (at < begin || at >= end)
		return next(ret, attributes, run, arg);
	struct start *this = malloc(sizeof *this);
	*this = (struct start){run, arg};
	return next(ret, attributes, start, this);
}
