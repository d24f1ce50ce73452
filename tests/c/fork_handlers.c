/* Forks that meet handlers of pthread_atfork, locks of the program and threads in the library. */
#include "harness.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>

static pthread_mutex_t program_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stop;
static atomic_long done;
static atomic_bool held; /* the program's lock, by a thread that is about to open descriptors */

static atomic_bool handlers_lock;

static void lock(void) { pthread_mutex_lock(&program_lock); }
static void unlock(void) { pthread_mutex_unlock(&program_lock); }
static void lock_in_handler(void)
{
	if (atomic_load(&handlers_lock))
		lock();
}
static void unlock_in_handler(void)
{
	if (atomic_load(&handlers_lock))
		unlock();
}

/* Before the first call to the library, which the bench makes. */
__attribute__((constructor)) static void register_handlers(void)
{
	if (pthread_atfork(lock_in_handler, unlock_in_handler, unlock_in_handler))
		abort();
}

/* Opens and closes descriptors of the library, under the program's own lock. */
static void *uses_the_library_under_a_lock(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		lock();
		atomic_store(&held, true);
		sendfd_inbox *inbox = open_inbox(S + 1, SENDFD_INBOX_NOSIGNAL);
		sendfd_inbox_close(inbox);
		atomic_store(&held, false);
		unlock();
		atomic_fetch_add(&done, 1);
		sched_yield();
	}
	return NULL;
}

static void await_more(void)
{
	for (long seen = atomic_load(&done); atomic_load(&done) == seen;)
		sched_yield();
}

static void await_holder(void)
{
	while (!atomic_load(&held))
		sched_yield();
}

static int by_size(const void *one, const void *other)
{
	long a = *(const long *)one, b = *(const long *)other;
	return (a > b) - (a < b);
}

/* Milliseconds that each of so many forks took, in ascending order. */
static void fork_again_and_again(int count, void (*await)(void), long *ret_ms)
{
	for (int i = 0; i < count; i++) {
		await();
		long start = now_ms();
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(0);
		ret_ms[i] = now_ms() - start;
		CHECK(exited_well(pid));
	}
	qsort(ret_ms, (size_t)count, sizeof *ret_ms, by_size);
}

/* The program's handlers are registered before its first call to the library, and take a lock whose holders
 * open descriptors of the library. */
TEST_LIMIT(a_lock_that_a_handler_takes, 60)
{
	atomic_store(&handlers_lock, true);
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		threads[i] = thread_start(uses_the_library_under_a_lock, NULL);
	enum { FORKS = 20 };
	long ms[FORKS];
	fork_again_and_again(FORKS, await_holder, ms);
	/* Where the library's patience had to end, that takes 250 ms; a machine under load is slow now and then. */
	CHECK(ms[FORKS / 2] < 200 && ms[FORKS - 1] < 2000, "half of them %ld ms, the longest %ld ms", ms[FORKS / 2],
	      ms[FORKS - 1]);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
}

/* --- handlers that call the library ----------------------------------------------------------- */
static sendfd_inbox *in_handler[3];
static int sent_in_handler[3];

static void uses_it(int which)
{
	in_handler[which] = open_inbox(S + 1 + which, SENDFD_INBOX_NOSIGNAL);
	int fd = make_memfd(which);
	sent_in_handler[which] = sendfd(getpid(), S + 1 + which, fd);
	close(fd);
}
static void before(void) { uses_it(0); }
static void in_parent(void) { uses_it(1); }
static void in_child(void) { uses_it(2); }

static void finish(int which)
{
	CHECK_EQ(sent_in_handler[which], 0);
	expect_number(in_handler[which], which);
	sendfd_inbox_close(in_handler[which]);
}

static void handlers_call_the_library(void)
{
	long start = now_ms();
	pid_t pid = fork();
	CHECK(pid >= 0);
	CHECK(now_ms() - start < 200 * (long)slower(), "%ld ms", now_ms() - start);
	if (pid == 0) {
		limit_time(15);
		finish(2);
		CHECK_ERR(sendfd_recv(in_handler[0], NULL, &NOW), EPERM);
		sendfd_inbox_close(in_handler[0]);
		_exit(0);
	}
	finish(0);
	finish(1);
	CHECK(exited_well(pid));
}

TEST(a_handler_that_calls_the_library)
{
	CHECK(pthread_atfork(before, in_parent, in_child) == 0);
	sendfd_inbox_close(open_inbox(S, 0));
	handlers_call_the_library();
}

/* A library that is loaded late, as by Python and Node, registers after the program. */
static void *late;
static int (*late_sendfd)(pid_t, int, int);
static int (*late_open)(int, unsigned, sendfd_inbox **);
static int (*late_recv)(sendfd_inbox *, sendfd_info *, const struct timespec *);
static void (*late_close)(sendfd_inbox *);
static sendfd_inbox *late_inbox;

static void opens_late_in_child(void)
{
	if (late_open)
		CHECK_OK(late_open(S + 3, SENDFD_INBOX_NOSIGNAL, &late_inbox));
}

static void *uses_the_late_one_under_a_lock(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		sendfd_inbox *inbox;
		lock();
		CHECK_OK(late_open(S + 1, SENDFD_INBOX_NOSIGNAL, &inbox));
		late_close(inbox);
		unlock();
		atomic_fetch_add(&done, 1);
		sched_yield();
	}
	return NULL;
}

static void load_late(void)
{
	char path[4096];
	Dl_info info;
	CHECK(dladdr((void *)sendfd, &info) && info.dli_fname);
	if (!strstr(info.dli_fname, ".so"))
		SKIP("linked statically");
	/* a copy of it under another name is another library, and is loaded now */
	snprintf(path, sizeof path, "/tmp/sendfd-late-%d.so", (int)getpid());
	int from = open(info.dli_fname, O_RDONLY | O_CLOEXEC), to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
	CHECK(from >= 0 && to >= 0);
	char bytes[65536];
	for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
		CHECK(write(to, bytes, (size_t)n) == n);
	close(from);
	close(to);
	late = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	unlink(path);
	CHECK(late, "%s", dlerror());
	late_sendfd = dlsym(late, "sendfd");
	late_open = dlsym(late, "sendfd_inbox_open");
	late_recv = dlsym(late, "sendfd_recv");
	late_close = dlsym(late, "sendfd_inbox_close");
	CHECK(late_sendfd && late_open && late_recv && late_close);
	CHECK(late_sendfd != sendfd, "it was loaded already");
}

TEST(an_inbox_that_a_child_handler_opened_stays)
{
	CHECK(pthread_atfork(NULL, NULL, opens_late_in_child) == 0);
	load_late();
	sendfd_inbox *before;
	CHECK_OK(late_open(S, SENDFD_INBOX_NOSIGNAL, &before));
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(15);
		int fd = make_memfd(3);
		struct timespec soon = in_ms(5000 * (long)slower());
		CHECK_OK(late_sendfd(getpid(), S + 3, fd));
		take_number(late_recv(late_inbox, NULL, &soon), 3);
		CHECK(late_recv(before, NULL, &NOW) == -EPERM);
		_exit(0);
	}
	CHECK(exited_well(pid));
	late_close(before);
}

/* Then its gate is shut first, and the lock is waited for behind it; for a while. */
TEST_LIMIT(a_lock_that_a_handler_takes_before_the_library_is_loaded, 60)
{
	atomic_store(&handlers_lock, true);
	load_late();
	pthread_t thread = thread_start(uses_the_late_one_under_a_lock, NULL);
	enum { FORKS = 20 };
	long ms[FORKS];
	fork_again_and_again(FORKS, await_more, ms);
	CHECK(ms[FORKS - 1] < 2000 * (long)slower(), "%ld ms", ms[FORKS - 1]);
	atomic_store(&stop, true);
	thread_join(thread);
}

/* --- where the kernel does not wipe a page for a child ------------------------------------------ */
static void *sends_all_the_time(void *arg)
{
	(void)arg;
	int fd = make_memfd(5);
	while (!atomic_load(&stop)) {
		int sent = late_sendfd(getpid(), S, fd);
		CHECK(sent == 0 || sent == -EAGAIN, "%s", errno_name(-sent));
		atomic_fetch_add(&done, 1);
	}
	close(fd);
	return NULL;
}

TEST_NEEDS(a_page_that_is_not_wiped, SECCOMP)
{
	refuse_call(SYS_madvise, EINVAL);
	load_late();
	sendfd_inbox *inbox;
	CHECK_OK(late_open(S, SENDFD_INBOX_NOSIGNAL, &inbox));
	pthread_t thread = thread_start(sends_all_the_time, NULL);
	for (int i = 0; i < 50; i++) {
		await_more();
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			limit_time(15);
			CHECK(late_recv(inbox, NULL, &NOW) == -EPERM);
			CHECK_OK(late_open(S + 3, SENDFD_INBOX_NOSIGNAL, &late_inbox));
			CHECK_OK(late_sendfd(getpid(), S + 3, 2));
			CHECK(late_recv(late_inbox, NULL, &NOW) >= 0);
			_exit(0);
		}
		/* The threads of the parent are at work meanwhile, in the same process as before. */
		int fd = late_recv(inbox, NULL, &NOW);
		CHECK(fd >= 0 || fd == -EAGAIN, "%s", errno_name(-fd));
		if (fd >= 0)
			close(fd);
		CHECK(exited_well(pid));
	}
	atomic_store(&stop, true);
	thread_join(thread);
	late_close(inbox);
	late_sendfd(getpid(), SIGRTMAX - 1, 2); /* it forgets the link, as in forget_dead_links() */
}

/* --- a fork that meets the first call of all --------------------------------------------------- */
static atomic_int go;

static void *makes_the_first_call(void *arg)
{
	(void)arg;
	while (!atomic_load(&go))
		;
	sendfd_inbox_close(open_inbox(S + 1, SENDFD_INBOX_NOSIGNAL));
	return NULL;
}

static void forks_during_the_first_call(void *arg)
{
	pthread_t thread = thread_start(makes_the_first_call, NULL);
	atomic_store(&go, 1);
	for (volatile long i = 0; i < *(long *)arg; i++)
		;
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(5);
		sendfd_inbox *inbox = open_inbox(S, 0);
		send_memfd(getpid(), 4);
		expect_number(inbox, 4);
		_exit(0);
	}
	CHECK(exited_well(pid));
	thread_join(thread);
}

TEST_LIMIT(a_fork_during_the_first_call, 100)
{
	for (long delay = 0; delay < 60000; delay += 100) {
		struct child child = fork_child(forks_during_the_first_call, &delay);
		child_join(&child);
	}
}

/* --- real-time threads -------------------------------------------------------------------------- */
static void pin(int policy)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
	struct sched_param param = {.sched_priority = policy == SCHED_OTHER ? 0 : 10};
	if (pthread_setschedparam(pthread_self(), policy, &param))
		SKIP("no real-time priority");
}

static void *opens_and_closes(void *arg)
{
	(void)arg;
	pin(SCHED_OTHER);
	while (!atomic_load(&stop)) {
		sendfd_inbox_close(open_inbox(S + 1, SENDFD_INBOX_NOSIGNAL));
		atomic_fetch_add(&done, 1);
	}
	return NULL;
}

static void *forks_in_real_time(void *arg)
{
	long *count = arg;
	pin(SCHED_FIFO);
	long end = now_ms() + 3000;
	for (; now_ms() < end; ++*count) {
		usleep(100 + rand() % 300); /* lets the other one into the library */
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(0);
		CHECK(exited_well(pid));
	}
	return NULL;
}

/* On one processor, a thread of real time forks while an ordinary one is in the library. */
TEST_LIMIT(a_real_time_thread_forks, 40)
{
	long count = 0;
	pthread_t ordinary = thread_start(opens_and_closes, NULL);
	await_more();
	thread_join(thread_start(forks_in_real_time, &count));
	atomic_store(&stop, true);
	thread_join(ordinary);
	CHECK(count > 300 / (long)slower(), "%ld forks", count);
}
