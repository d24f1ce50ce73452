/* Threads that have a table of descriptors of their own. */
#include "harness.h"

#include <sched.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2u
#endif

enum way { BY_UNSHARE, BY_CLOSE_RANGE };

static sendfd_inbox *inbox;
static enum way way;
static bool used_before;
static int fd; /* of both tables */

static void get_a_table(void)
{
	if (way == BY_UNSHARE) {
		CHECK(unshare(CLONE_FILES) == 0);
	} else if (syscall(SYS_close_range, 4000u, 4001u, CLOSE_RANGE_UNSHARE)) {
		CHECK(errno == ENOSYS);
		SKIP("no close_range");
	}
}

static void *has_its_own(void *arg)
{
	(void)arg;
	if (used_before)
		CHECK_OK(sendfd(getpid(), S, fd));
	get_a_table();
	if (used_before)
		poll(NULL, 0, 150); /* for so long an earlier look is believed */
	CHECK_ERR(sendfd(getpid(), S, fd), EOPNOTSUPP);
	CHECK_ERR(sendfd(getpid(), S + 1, fd), EOPNOTSUPP);
	CHECK_ERR(sendfds(getpid(), S, &fd, 1, NULL, 0, NULL), EOPNOTSUPP);
	CHECK_ERR(sendfd_recv(inbox, NULL, NULL), EOPNOTSUPP);
	sendfd_inbox *own = NULL;
	CHECK_ERR(sendfd_inbox_open(S + 1, 0, &own), EOPNOTSUPP);
	CHECK_ERR(sendfd_inbox_open(S + 1, SENDFD_INBOX_NOSIGNAL, &own), EOPNOTSUPP);
	CHECK(!own);
	return NULL; /* and its table goes with it */
}

/* They may not use the library; the others are not disturbed. */
TEST(a_thread_with_a_table_of_its_own)
{
	if (syscall(SYS_kcmp, getpid(), getpid(), 2, 0, 0) != 0)
		SKIP("no kcmp");
	fd = make_memfd(1);
	inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	for (int i = 0; i < 4; i++) {
		way = i % 2 ? BY_CLOSE_RANGE : BY_UNSHARE;
		used_before = i / 2;
		CHECK_OK(sendfd(getpid(), S, fd));
		thread_join(thread_start(has_its_own, NULL));
		CHECK_OK(sendfd(getpid(), S, fd));
		for (int parcels = 2 + used_before; parcels > 0; parcels--)
			expect_number(inbox, 1);
		expect_empty(inbox);
		sendfd_inbox_close(open_inbox(S + 1, 0));
		if (used_before) /* its copy */
			forget_dead_links();
	}
	close(fd);
	sendfd_inbox_close(inbox);
}

/* --- one number, a link in each table ------------------------------------------------------------- */
static pid_t other;
static pthread_barrier_t barrier;

static void *sends_from_its_own(void *arg)
{
	(void)arg;
	CHECK(unshare(CLONE_FILES) == 0);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	sendfd(other, S, fd); /* under the number that the other thread's link has there */
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void receives(void *arg)
{
	(void)arg;
	sendfd_inbox *mine = open_inbox(S, 0);
	parent_tell(0);
	for (long count = parent_hear(); count > 0; count--)
		expect_number(mine, 1);
	expect_empty(mine);
	sendfd_inbox_close(mine);
}

TEST(one_number_in_two_tables)
{
	if (syscall(SYS_kcmp, getpid(), getpid(), 2, 0, 0) != 0)
		SKIP("no kcmp");
	struct child one = fork_child(receives, NULL), two = fork_child(receives, NULL);
	child_hear(&one);
	child_hear(&two);
	other = two.pid;
	fd = make_memfd(1);
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_t thread = thread_start(sends_from_its_own, NULL);
	pthread_barrier_wait(&barrier);
	CHECK_OK(sendfd(one.pid, S, fd));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	CHECK_OK(sendfd(two.pid, S, fd));
	child_tell(&one, 1);
	child_tell(&two, 1);
	pthread_barrier_wait(&barrier);
	thread_join(thread);
	child_join(&one);
	child_join(&two);
	close(fd);
}

/* --- the first thread, by which the others are told, has ended -------------------------------------- */
static void *is_refused(void *arg)
{
	(void)arg;
	CHECK(unshare(CLONE_FILES) == 0);
	CHECK_ERR(sendfd(getpid(), S, fd), EOPNOTSUPP);
	return NULL;
}

static pthread_t first, second;

static void *goes_on(void *before)
{
	CHECK(pthread_join(*(pthread_t *)before, NULL) == 0);
	inbox = open_inbox(S, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(sendfd(getpid(), S, fd));
		expect_number(inbox, 2);
		poll(NULL, 0, 150);
	}
	sendfd_inbox_close(inbox);
	thread_join(thread_start(is_refused, NULL));
	if (before == &first) {
		second = pthread_self();
		thread_start(goes_on, &second);
		return NULL;
	}
	/* In a child, too, that begins with this thread. */
	pid_t pid = fork();
	CHECK(pid >= 0);
	thread_join(thread_start(is_refused, NULL));
	CHECK(pid == 0 || exited_well(pid));
	_exit(0);
}

TEST(the_first_thread_has_ended)
{
	if (syscall(SYS_kcmp, getpid(), getpid(), 2, 0, 0) != 0)
		SKIP("no kcmp");
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		alarm(15);
		fd = make_memfd(2);
		first = pthread_self();
		thread_start(goes_on, &first);
		pthread_exit(NULL);
	}
	CHECK(exited_well(pid));
}
