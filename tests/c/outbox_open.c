/* How an outbox is opened, and what is no outbox, receiver, parcel or timeout. */
#include "receiver.h"

static void open_when_told(void *arg)
{
	(void)arg;
	parent_tell(0);
	if (parent_hear() == END)
		return;
	sendfd_inbox *inbox = open_inbox(S, 0);
	expect_number(inbox, 5);
	sendfd_inbox_close(inbox);
}

static void *open_for_ever(void *pid)
{
	sendfd_outbox *outbox = NULL;
	int result = sendfd_outbox_open((pid_t)(intptr_t)pid, S, NULL, &outbox);
	if (result < 0)
		return (void *)(intptr_t)result;
	send_number_over(outbox, 5);
	sendfd_outbox_close(outbox);
	return NULL;
}

TEST(waits_for_the_inbox_and_notices_the_end_of_the_task)
{
	for (int ends = 0; ends < 2; ends++) {
		struct child child = fork_child(open_when_told, NULL);
		child_hear(&child);
		sendfd_outbox *outbox = NULL;
		CHECK_ERR(sendfd_outbox_open(child.pid, S, &NOW, &outbox), ECONNREFUSED);
		struct timespec brief = in_ms(40);
		CHECK_TIMES_OUT(sendfd_outbox_open(child.pid, S, &brief, &outbox), 40);
		CHECK(!outbox);
		pthread_t opener = thread_start(open_for_ever, (void *)(intptr_t)child.pid);
		child_tell(&child, ends ? END : 0);
		if (!ends)
			child_join(&child);
		void *result;
		CHECK(pthread_join(opener, &result) == 0);
		CHECK_EQ((intptr_t)result, ends ? -ESRCH : 0);
		if (ends)
			child_join(&child);
	}
}

TEST_NEEDS(by_pidfd, PIDFD)
{
	struct child child = start_receiver(0);
	int pidfd = my_pidfd_open(child.pid);
	CHECK(pidfd >= 0);
	sendfd_outbox *outbox = NULL;
	CHECK_OK(sendfd_outbox_open_pidfd(pidfd, S, &NOW, &outbox));
	send_number_over(outbox, 1);
	tell_receiver(&child, TAKE_ONE);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, NULL));
	sendfd_outbox_close(outbox);
	CHECK_ERR(sendfd_outbox_open_pidfd(-1, S, &NOW, &outbox), EBADF);
	CHECK_ERR(sendfd_outbox_open_pidfd(1000, S, &NOW, &outbox), EBADF);
	CHECK_ERR(sendfd_outbox_open_pidfd(2, S, &NOW, &outbox), EINVAL);
	child_tell(&child, END);
	child_join(&child);
	CHECK_ERR(sendfd_outbox_open_pidfd(pidfd, S, NULL, &outbox), ESRCH);
	close(pidfd);
}

static void foreigner(void *arg)
{
	become(lonely_uid());
	sendfd_outbox *outbox = NULL;
	CHECK_ERR(sendfd_outbox_open(*(pid_t *)arg, S, NULL, &outbox), EPERM);
}

TEST_NEEDS(refused_to_other_users, ROOT)
{
	struct child child = start_receiver(0);
	struct child other = fork_child(foreigner, &child.pid);
	child_join(&other);
	child_tell(&child, END);
	child_join(&child);
}

TEST(einval_and_esrch)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = NULL;
	struct timespec bad[] = {{-1, 0}, {0, -1}, {0, 1000000000}};
	CHECK_ERR(sendfd_outbox_open(0, S, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open(-1, S, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open(getpid(), SIGUSR1, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open(getpid(), S, &NOW, NULL), EINVAL);
	for (size_t i = 0; i < LEN(bad); i++)
		CHECK_ERR(sendfd_outbox_open(getpid(), S, &bad[i], &outbox), EINVAL);
	struct child child = fork_child(open_when_told, NULL);
	child_hear(&child);
	child_kill(&child);
	CHECK_ERR(sendfd_outbox_open(child.pid, S, NULL, &outbox), ESRCH);
	CHECK(!outbox);
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
	int fds[253], byte;
	for (size_t i = 0; i < LEN(fds); i++)
		fds[i] = 2;
	CHECK_ERR(sendfd_outbox_send(NULL, NULL, 0, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, NULL, 1, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, NULL, 1, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, fds, 253, NULL, 0, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_send(outbox, fds, 1, &byte, SENDFD_MAX_DATA + 1, &NOW), EMSGSIZE);
	CHECK_ERR(sendfd_outbox_send(outbox, (int[]){-1}, 1, NULL, 0, &NOW), EBADF);
	CHECK_ERR(sendfd_outbox_send(outbox, (int[]){1000}, 1, NULL, 0, &NOW), EBADF);
	CHECK_ERR(sendfd_outbox_wait_taken(NULL, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_fileno(NULL), EINVAL);
	CHECK_ERR(sendfd_outbox_request(NULL, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 1, NULL, 0, NULL, &NOW), EINVAL);
	CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 1, NULL, &NOW), EINVAL);
	for (size_t i = 0; i < LEN(bad); i++) {
		CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, NULL, 0, &bad[i]), EINVAL);
		CHECK_ERR(sendfd_outbox_wait_taken(outbox, &bad[i]), EINVAL);
		CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &bad[i]), EINVAL);
	}
	sendfd_outbox_close(outbox);
	sendfd_outbox_close(NULL);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}
