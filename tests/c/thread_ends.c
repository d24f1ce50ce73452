/* Inboxes that are opened when their thread, or the process, is about to end. */
#include "harness.h"

static sendfd_inbox *kept;

/* The whole way of a parcel. */
static sendfd_inbox *works(unsigned flags)
{
	sendfd_inbox *inbox = open_inbox(S, flags);
	pid_t id = flags & SENDFD_INBOX_THREAD ? (pid_t)syscall(SYS_gettid) : getpid();
	for (int i = 0; i < 3; i++) {
		send_memfd(id, i);
		expect_number(inbox, i);
	}
	return inbox;
}

static void an_earlier_one(bool stays_open)
{
	kept = open_inbox(S + 1, 0);
	if (stays_open)
		return;
	sendfd_inbox_close(kept);
	kept = NULL;
}

/* --- the end of the process ----------------------------------------------------------------------- */
static bool in_destructor;

static void at_exit(void)
{
	limit_time(10);
	sendfd_inbox_close(works(0));
	sendfd_inbox_close(kept);
	works(SENDFD_INBOX_THREAD);
	_exit(42);
}

__attribute__((destructor)) static void destructor(void)
{
	if (in_destructor)
		at_exit();
}

static void ends(bool by_destructor, bool stays_open)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(10);
		an_earlier_one(stays_open);
		in_destructor = by_destructor;
		CHECK(by_destructor || atexit(at_exit) == 0);
		exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %x", (unsigned)status);
}

TEST(an_inbox_opened_by_an_atexit_handler)
{
	ends(false, false);
	ends(false, true);
}

TEST(an_inbox_opened_by_a_static_destructor)
{
	ends(true, false);
	ends(true, true);
}

/* --- the end of a thread -------------------------------------------------------------------------- */
static pthread_key_t key;
static sendfd_inbox *left[2];
static int count;

static void key_destructor(void *arg)
{
	(void)arg;
	left[count++] = works(0);
}

static void *ends_with_a_key(void *stays_open)
{
	an_earlier_one(stays_open);
	CHECK(pthread_setspecific(key, &key) == 0);
	return NULL;
}

/* It is closed to senders when the thread has ended. */
TEST(an_inbox_opened_by_a_destructor_of_a_key)
{
	int fd = make_memfd(9);
	CHECK(pthread_key_create(&key, key_destructor) == 0);
	for (int stays_open = 0; stays_open < 2; stays_open++) {
		thread_join(thread_start(ends_with_a_key, stays_open ? &key : NULL));
		CHECK_EQ(count, stays_open + 1);
		CHECK_ERR(sendfd(getpid(), S, fd), ECONNREFUSED);
		CHECK_ERR(sendfd(getpid(), S + 1, fd), ECONNREFUSED);
		sendfd_inbox_close(left[stays_open]);
		sendfd_inbox_close(kept);
	}
	close(fd);
}
