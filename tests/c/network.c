/* Sending into another network namespace. */
#include "harness.h"

#include <sched.h>
#include <stdatomic.h>

static atomic_bool done;
static atomic_int handlers, looker;

static void where(const char *task, char *ret_text, size_t room)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%s/ns/net", task);
	ssize_t n = readlink(path, ret_text, room - 1);
	CHECK(n > 0, "%s", path);
	ret_text[n] = '\0';
}

static void receives_elsewhere(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	for (long count = parent_hear(); count > 0; count--)
		expect_number(inbox, count);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void on_signal(int sig)
{
	pid_t me = gettid();
	(void)sig;
	atomic_fetch_add(&handlers, 1);
	if (me != getpid() && me != atomic_load(&looker))
		abort();
}

/* Looks where it is all the while, and sends signals, which go to whoever does not block them. */
static void *stays(void *arg)
{
	char here[64], now[64];
	where("thread-self", here, sizeof here);
	atomic_store(&looker, gettid());
	while (!atomic_load(&done)) {
		where("thread-self", now, sizeof now);
		CHECK(strcmp(here, now) == 0, "%s, not %s", now, here);
		CHECK(kill(getpid(), SIGUSR1) == 0);
	}
	(void)arg;
	return NULL;
}

TEST_NEEDS(threads_stay_where_they_are, ROOT | NET_NAMESPACE)
{
	enum { TIMES = 30 };
	char before[64], after[64];
	CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
	uint64_t mask = mask_now();
	where("thread-self", before, sizeof before);
	pthread_t thread = thread_start(stays, NULL);
	for (int i = 0; i < TIMES; i++) {
		struct child child = fork_child(receives_elsewhere, NULL);
		child_hear(&child);
		send_memfd(child.pid, 2);
		send_memfd(child.pid, 1);
		where("thread-self", after, sizeof after);
		CHECK(strcmp(before, after) == 0);
		CHECK_EQ(mask_now(), mask);
		child_tell(&child, 2);
		child_join(&child);
	}
	atomic_store(&done, true);
	thread_join(thread);
	CHECK(atomic_load(&handlers) > 0);
}

static pid_t target;
static void *sends_alone(void *arg)
{
	(void)arg;
	CHECK(syscall(SYS_tgkill, getpid(), getpid(), 0) == 0);
	/* until the first thread is a zombie */
	while (state_of(getpid()) != 'Z')
		sched_yield();
	send_memfd(target, 1);
	_exit(0);
}

static void first_thread_ends(void *arg)
{
	(void)arg;
	thread_start(sends_alone, NULL);
	pthread_exit(NULL);
}

TEST_NEEDS(a_first_thread_that_has_ended, ROOT | NET_NAMESPACE)
{
	struct child child = fork_child(receives_elsewhere, NULL);
	child_hear(&child);
	target = child.pid;
	struct child sender = fork_child(first_thread_ends, NULL);
	child_join(&sender);
	child_tell(&child, 1);
	child_join(&child);
}

static void opens_later(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	parent_tell(0);
	parent_hear();
	sendfd_inbox *inbox = open_inbox(S, 0);
	expect_number(inbox, 1);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void *tells_to_open(void *arg)
{
	child_tell(arg, 0);
	return NULL;
}

TEST_NEEDS(an_outbox_waits_for_an_inbox_there, ROOT | NET_NAMESPACE)
{
	struct child child = fork_child(opens_later, NULL);
	child_hear(&child);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_ERR(sendfd_outbox_open(child.pid, S, &NOW, &outbox), ECONNREFUSED);
	CHECK_TIMES_OUT(sendfd_outbox_open(child.pid, S, &(struct timespec){0, 50000000}, &outbox), 50);
	pthread_t thread = thread_start(tells_to_open, &child);
	CHECK_OK(sendfd_outbox_open(child.pid, S, &limit, &outbox));
	int fd = make_memfd(1);
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	close(fd);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &limit));
	sendfd_outbox_close(outbox);
	thread_join(thread);
	child_join(&child);
}

/* As default filters of container engines do, also for root. */
TEST_NEEDS(where_setns_is_refused, ROOT | NET_NAMESPACE | SECCOMP)
{
	struct child child = fork_child(receives_elsewhere, NULL);
	child_hear(&child);
	int fd = make_memfd(1);
	CHECK_OK(sendfd(child.pid, S, fd));
	refuse_call(SYS_setns, EPERM);
	child_tell(&child, 1);
	child_join(&child);
	child = fork_child(receives_elsewhere, NULL);
	child_hear(&child);
	CHECK_ERR(sendfd(child.pid, S, fd), ECONNREFUSED);
	close(fd);
	child_tell(&child, 0);
	child_join(&child);
}
