/* The ways to send. The peer receives. */
#include "ways.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int target, target_pidfd, sent_fd;
static int links; /* that are to be kept in the end, at most: by pid, and by pidfd */

/* Told 1: says how many parcels there are, and the number in the last. Told 2: closes its inbox and opens it
 * anew. Told 0: ends. */
static void receive_as_told(int from, int to, unsigned with)
{
	int told, at_first = count_fds();
	sendfd_inbox *mine;
	NEED(sendfd_inbox_open(S, with, &mine) == 0);
	tell(to, (int)syscall(SYS_gettid));
	while ((told = hear(from))) {
		int count = 0, last = -1, fds[8], n;
		if (told == 2) {
			sendfd_inbox_close(mine);
			NEED(sendfd_inbox_open(S, with, &mine) == 0);
		}
		while ((n = sendfd_recvs(mine, fds, 8, (char[8192]){0}, 8192, NULL, &NOW)) > 0) {
			count++;
			last = number_of(fds[0]);
			while (n > 1)
				close(fds[--n]);
		}
		NEED(n == -EAGAIN);
		tell(to, count);
		tell(to, last);
	}
	sendfd_inbox_close(mine);
	NEED(count_fds() == at_first);
}

static void receives(int from, int to) { receive_as_told(from, to, 0); }

static int pipes[2];

static void *a_thread(void *unused)
{
	(void)unused;
	receive_as_told(pipes[0], pipes[1], SENDFD_INBOX_THREAD);
	return NULL;
}

static void a_thread_receives(int from, int to)
{
	pthread_t thread;
	pipes[0] = from;
	pipes[1] = to;
	NEED(pthread_create(&thread, NULL, a_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

static void another_user_receives(int from, int to)
{
	NEED(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	receive_as_told(from, to, SENDFD_INBOX_NOSIGNAL);
}

/* Of no other case's user, for the descriptors in flight are counted for each. This thread alone, not that which
 * refuses. */
static void become(uid_t user)
{
	NEED(syscall(SYS_setresgid, user, user, user) == 0 && syscall(SYS_setresuid, user, user, user) == 0);
	NEED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}

static uid_t user;

static void receives_from_anyone(int from, int to) { receive_as_told(from, to, SENDFD_INBOX_ANYONE); }

/* As in a container, with a file in its own /dev/shm. */
static void receives_elsewhere(int from, int to)
{
	NEED(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	NEED(mount("none", "/dev/shm", "tmpfs", 0, NULL) == 0 && setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	become(user);
	receive_as_told(from, to, 0);
}

/* The one whose inbox is asked for has none. */
static void only_waits(int from, int to)
{
	tell(to, getpid());
	hear(from);
}

static void expect_at_peer(int count, int last)
{
	tell(to_peer, 1);
	NEED(hear(from_peer) == count);
	NEED(hear(from_peer) == last);
}

static int send_number(int number)
{
	int fd = numbered(number), result = sendfd(target, S, fd);
	close(fd);
	return result;
}

static void prepare_with(void (*part)(int, int))
{
	start_peer(part);
	target = hear(from_peer);
	sent_fd = numbered(7);
	links = 1;
	before = count_fds();
}

static void first(void) { prepare_with(receives); }
static void first_to_thread(void) { prepare_with(a_thread_receives); }
static void first_to_user(void) { prepare_with(another_user_receives); }
static void first_to_network(void)
{
	user = 0;
	prepare_with(receives_elsewhere);
}
static void first_by_file(void)
{
	user = 1000000 + (uid_t)getpid();
	prepare_with(receives_elsewhere);
	become(user);
}
/* A guest: its first send tells the receiver of it. */
static void first_of_a_guest(void)
{
	user = 1000000 + (uid_t)getpid();
	prepare_with(receives_from_anyone);
	become(user);
}

static void let_in(void)
{
	first_of_a_guest();
	NEED(send_number(1) == -EAGAIN);
	expect_at_peer(0, -1);
}

static void nobody(void) { prepare_with(only_waits); }

static void later(void)
{
	first();
	NEED(send_number(1) == 0);
	expect_at_peer(1, 1);
}

/* A link that rests for more than 100 ms is looked at before its next use. */
static void idle(void)
{
	later();
	poll(NULL, 0, 130);
}

static void anew(void)
{
	later();
	tell(to_peer, 2);
	NEED(hear(from_peer) == 0);
	hear(from_peer);
}

static void by_pidfd(void)
{
	first();
	target_pidfd = (int)syscall(SYS_pidfd_open, peer, 0);
	NEED(target_pidfd >= 0);
	before++;
	links = 2;
}

static void full(void)
{
	later();
	while (send_number(2) == 0)
		;
	NEED(errno == EAGAIN);
}

static int one(void) { return sendfd(target, S, sent_fd); }
static int one_by_pidfd(void) { return sendfd_pidfd(target_pidfd, S, sent_fd); }
static int one_briefly(void) { return sendfds(target, S, &sent_fd, 1, NULL, 0, &BRIEFLY); }

static int three(void)
{
	return sendfds(target, S, (int[]){sent_fd, sent_fd, sent_fd}, 3, (char[5000]){0}, 5000, &SOON);
}

static void end_with_links(int most)
{
	int kept = count_fds() - before;
	NEED(kept >= (most > 0) && kept <= most);
	tell(to_peer, 0);
	end_peer();
}

/* Sent and there, or not sent and not there; and the next one, by id, arrives. Links are kept. */
static void is_there(int result)
{
	expect_at_peer(result == 0, result == 0 ? 7 : -1);
	NEED(send_number(9) == 0);
	expect_at_peer(1, 9);
	end_with_links(links);
}

/* Whatever came of it: the receiver looks, and lets it in. */
static void can_send(int result)
{
	expect_at_peer(result == 0, result == 0 ? 7 : -1);
	for (int tries = 0; (result = send_number(9)) < 0; tries++) {
		NEED((result == -EAGAIN || result == -EPERM) && tries < 5);
		expect_at_peer(0, -1);
	}
	expect_at_peer(1, 9);
	end_with_links(links);
}

/* What filled the queue; and ours, if a new link was made for it. */
static void is_there_or_was_full(int result)
{
	tell(to_peer, 1);
	NEED(hear(from_peer) > 100);
	NEED(hear(from_peer) == (result == 0 ? 7 : 2));
	is_there(-1);
}

static void was_not_sent(int result)
{
	NEED(result < 0);
	NEED(send_number(9) == -ECONNREFUSED);
	end_with_links(0);
}

const struct path SENDING[] = {
	{"first-send", "sendfd", first, one, is_there, OLD_TOO},
	{"later-send", "sendfd", later, one, is_there, ALWAYS},
	{"send-after-a-rest", "sendfd", idle, one, is_there, OLD_TOO},
	{"send-to-an-inbox-opened-anew", "sendfd", anew, one, is_there, ALWAYS},
	{"first-send-to-a-thread", "sendfd", first_to_thread, one, is_there, OLD_TOO},
	{"first-send-to-another-user", "sendfd", first_to_user, one, is_there, NEEDS_ROOT},
	{"first-send-to-another-network", "sendfd", first_to_network, one, is_there, NEEDS_ROOT},
	{"first-send-by-a-socket-file", "sendfd", first_by_file, one, is_there, NEEDS_ROOT | OLD_TOO},
	{"first-send-of-a-guest", "sendfd", first_of_a_guest, one, can_send, NEEDS_ROOT | OLD_TOO},
	{"send-of-a-guest-that-was-let-in", "sendfd", let_in, one, can_send, NEEDS_ROOT},
	{"send-without-an-inbox", "sendfd", nobody, one, was_not_sent, ALWAYS},
	{"first-send-with-data", "sendfds", first, three, is_there, ALWAYS},
	{"later-send-with-data", "sendfds", later, three, is_there, ALWAYS},
	{"send-by-pidfd", "sendfd_pidfd", by_pidfd, one_by_pidfd, is_there, NEEDS_PIDFD | OLD_TOO},
	{"send-to-a-full-queue", "sendfds", full, one_briefly, is_there_or_was_full, OLD_TOO},
	{NULL, NULL, NULL, NULL, NULL, ALWAYS},
};
