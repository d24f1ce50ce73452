/* What comes back to a sender, and lingers: it stalls neither the sender nor the asker. */
#include "lingering.h"

#include <sched.h>

/* --- a receiver sends back -------------------------------------------------------------------------- */
/* Over its end of the link of a sender, which is the newest socket of this process that is connected. */
static void answers(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	close(recv_soon(inbox, NULL));
	int link = -1;
	for (int fd = 4095; fd > 2 && link < 0; fd--) {
		struct sockaddr_un peer;
		socklen_t len = sizeof peer;
		if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.sun_family == AF_UNIX)
			link = fd;
	}
	CHECK(link >= 0);
	int other, fd = lingering_socket(&other);
	int sent = raw_send(link, "x", 1, &fd, 1);
	parent_tell(sent);
	close(fd);
	parent_tell(0);
	parent_hear();
	sendfd_inbox_close(inbox);
	parent_tell(0);
	parent_hear();
}

static void sends_to_one_that_answers(void *arg)
{
	(void)arg;
	struct child receiver = fork_child(answers, NULL);
	child_hear(&receiver);
	int fd = make_memfd(1);
	CHECK_OK(sendfd(receiver.pid, S, fd));
	long sent = child_hear(&receiver);
	CHECK(sent == 0 || sent == -EPIPE, "%s", errno_name((int)-sent));
	child_hear(&receiver);
	child_tell(&receiver, 0);
	child_hear(&receiver);
	/* The first contact with somebody else, when dead links are given up. */
	CHECK_AT_ONCE(CHECK_ERR(sendfd(getpid(), S + 2, fd), ECONNREFUSED));
	CHECK_AT_ONCE(CHECK_ERR(sendfd(receiver.pid, S, fd), ECONNREFUSED));
	forks_at_once();
	CHECK_EQ(sent, -EPIPE);
	let_end(&receiver);
	close(fd);
}

TEST(what_a_receiver_sends_back_does_not_stall_its_sender)
{
	struct child sender = fork_child(sends_to_one_that_answers, NULL);
	child_join(&sender);
}

/* One that has the name of somebody else is refused; what it sent by then waits in our socket. */
#define SQUATS 3
static cpu_set_t here;

/* It runs as soon as somebody connects, and the sender goes on behind it. */
static void squats(void *arg)
{
	(void)arg;
	int listener = raw_listen(name);
	struct sched_param first = {.sched_priority = 1};
	CHECK(fcntl(listener, F_SETFL, 0) == 0);
	CHECK(sched_setaffinity(0, sizeof here, &here) == 0);
	if (sched_setscheduler(0, SCHED_FIFO, &first) != 0)
		SKIP("SCHED_FIFO: %s", errno_name(errno));
	for (long n = 0; n < SQUATS; n++) {
		int other, fd = lingering_socket(&other);
		parent_tell(n);
		int link = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		CHECK(link >= 0);
		if (n > 0) /* a look at the first one shows nothing */
			CHECK_EQ(raw_send(link, "", 0, NULL, 0), 0);
		CHECK_EQ(raw_send(link, "x", 1, &fd, 1), 0);
		close(fd);
	}
	parent_tell(SQUATS);
	parent_hear();
}

static void stays(void *arg)
{
	(void)arg;
	parent_tell(0);
	parent_hear();
}

TEST_WITH(what_a_squatter_sends_back_does_not_stall_a_sender, 60, ROOT | PIDFS)
{
	struct child victim = fork_child(stays, NULL);
	child_hear(&victim);
	/* The name that the victim's inbox would have. */
	snprintf(name, sizeof name, "sendfd.1/%lu/%d", (unsigned long)inode_of(victim.pid), S);
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	struct child squatter = fork_child(squats, NULL);
	CHECK_EQ(child_hear(&squatter), 0);
	CHECK(sched_setaffinity(0, sizeof here, &here) == 0);
	int fd = make_memfd(1);
	for (long n = 1; n <= SQUATS; n++) {
		CHECK_AT_ONCE(CHECK_ERR(sendfd(victim.pid, S, fd), ECONNREFUSED));
		forks_at_once();
		CHECK_EQ(child_hear(&squatter), n);
	}
	close(fd);
	child_kill(&squatter);
	let_end(&victim);
}

/* --- answers --------------------------------------------------------------------------------------- */
static int asker_waits[2], go_on[2];

/* Holds the asker up while it is waiting for the answer. */
static void hold(int signo)
{
	(void)signo;
	char byte = 0;
	if (write(asker_waits[1], &byte, 1) != 1 || read(go_on[0], &byte, 1) != 1)
		_exit(1);
}

static void answers_with_one_that_lingers(void *arg)
{
	(void)arg;
	char byte;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	int other, fd = lingering_socket(&other);
	parent_tell(0);
	sendfd_info info;
	CHECK_EQ(sendfd_recvs(inbox, NULL, 0, NULL, 0, &info, NULL), 0);
	CHECK(kill(getppid(), SIGUSR1) == 0 && read(asker_waits[0], &byte, 1) == 1);
	CHECK_OK(sendfd_reply(info.reply, &fd, 1, NULL, 0));
	close(fd); /* now the answer has the last reference */
	close(info.reply);
	CHECK(write(go_on[1], &byte, 1) == 1);
	sendfd_inbox_close(inbox);
	parent_hear();
	_exit(0);
}

TEST(an_unwanted_answer_stalls_nobody)
{
	struct sigaction action = {.sa_handler = hold};
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(pipe2(asker_waits, O_CLOEXEC) == 0 && pipe2(go_on, O_CLOEXEC) == 0);
	struct child child = fork_child(answers_with_one_that_lingers, NULL);
	child_hear(&child);
	sendfd_outbox *outbox;
	CHECK_OK(sendfd_outbox_open(child.pid, S, NULL, &outbox));
	sendfd_info info;
	struct timespec limit = in_ms(10000);
	CHECK_AT_ONCE(CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, &info, &limit), EMSGSIZE));
	CHECK_EQ(info.nfds, 1);
	CHECK_AT_ONCE(sendfd_outbox_close(outbox));
	let_end(&child);
	for (int i = 0; i < 2; i++) {
		close(asker_waits[i]);
		close(go_on[i]);
	}
}
