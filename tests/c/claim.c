/* Programs that dequeue their own signals: their loop must never sleep on mail.
 *
 * The senders send in bursts and wait for the receiver after each, so a parcel that no signal tells of
 * is not found by accident with a later one. The loop's own time limit is long; when it strikes, or
 * when a signal announced nothing and none is pending, there must be no mail. */
#include "harness.h"

#include <sys/epoll.h>

static pid_t target;
static int signo = S;

struct plan {
	int senders, bursts, each; /* each sender sends `each` in each burst */
	int queue;                 /* RLIMIT_SIGPENDING and 1 more, 0: as it is */
	bool many_links;           /* a new process for every burst */
};

static void burst_sender(void *arg)
{
	const struct plan *plan = arg;
	int fd = make_memfd(7);
	for (int burst = 0; burst < plan->bursts; burst++) {
		parent_hear();
		for (int i = 0; i < plan->each; i++)
			CHECK_OK(sendfds(target, signo, &fd, 1, NULL, 0, NULL));
	}
}

/* Waits with one of the two ways for the next signal; false after the time limit. */
struct loop {
	bool by_signalfd;
	int sfd, ep;
	sigset_t set;
	int others; /* signals that have nothing to do with the inbox */
};

static void loop_begin(struct loop *loop, bool by_signalfd)
{
	*loop = (struct loop){.by_signalfd = by_signalfd, .set = set_of(signo, SIGIO, SIGUSR1, SIGRTMIN + 1, 0)};
	CHECK(pthread_sigmask(SIG_BLOCK, &loop->set, NULL) == 0);
	if (!by_signalfd)
		return;
	struct epoll_event event = {.events = EPOLLIN};
	loop->sfd = signalfd(-1, &loop->set, SFD_CLOEXEC | SFD_NONBLOCK);
	loop->ep = epoll_create1(EPOLL_CLOEXEC);
	CHECK(loop->sfd >= 0 && loop->ep >= 0 && epoll_ctl(loop->ep, EPOLL_CTL_ADD, loop->sfd, &event) == 0);
}

static void loop_end(struct loop *loop)
{
	if (loop->by_signalfd) {
		close(loop->sfd);
		close(loop->ep);
	}
}

/* One signal, handed to the library. The descriptor, -EAGAIN, or 0 when none came. */
static int next(struct loop *loop, sendfd_inbox *inbox, int ms)
{
	siginfo_t si;
	struct signalfd_siginfo ssi;
	struct epoll_event event;
	struct timespec limit = in_ms(ms);
	if (loop->by_signalfd) {
		if (epoll_wait(loop->ep, &event, 1, ms) != 1 || read(loop->sfd, &ssi, sizeof ssi) != sizeof ssi)
			return 0;
		si.si_signo = (int)ssi.ssi_signo;
	} else if (sigtimedwait(&loop->set, &si, &limit) < 0) {
		return 0;
	}
	if (si.si_signo != signo && si.si_signo != SIGIO) {
		loop->others++;
		return -EAGAIN;
	}
	int fd = loop->by_signalfd ? sendfd_claim_signalfd(inbox, &ssi, NULL) : sendfd_claim(inbox, &si, NULL);
	CHECK(fd > 0 || fd == -EAGAIN, "%s", errno_name(-fd));
	return fd;
}

static void take(struct loop *loop, sendfd_inbox *inbox, int count)
{
	for (int taken = 0; taken < count;) {
		int fd = next(loop, inbox, 5000);
		CHECK(fd != 0, "asleep after %d of %d; the inbox polls %s", taken, count,
		      readable(sendfd_inbox_fileno(inbox)) ? "readable" : "not readable");
		if (fd > 0) {
			take_number(fd, 7);
			taken++;
		}
	}
	/* What is readable now is no mail (a sender went away, say), but a signal tells of that, too. */
	bool left;
	do {
		for (int fd; (fd = next(loop, inbox, 0)) != 0;)
			CHECK(fd == -EAGAIN, "more parcels than were sent");
		left = readable(sendfd_inbox_fileno(inbox));
	} while (left && next(loop, inbox, 5000) == -EAGAIN);
	CHECK(!left, "no signal pending, but the inbox polls readable");
}

static void run(bool by_signalfd, unsigned flags, struct plan plan)
{
	struct child senders[8];
	struct loop loop;
	loop_begin(&loop, by_signalfd);
	if (plan.queue)
		set_limit(RLIMIT_SIGPENDING, (rlim_t)plan.queue - 1);
	target = getpid();
	sendfd_inbox *inbox = open_inbox(signo, flags);
	struct plan once = {1, 1, plan.each, 0, false};
	for (int i = 0; i < plan.senders && !plan.many_links; i++)
		senders[i] = fork_child(burst_sender, &plan);
	for (int burst = 0; burst < plan.bursts; burst++) {
		for (int i = 0; i < plan.senders; i++) {
			if (plan.many_links)
				senders[i] = fork_child(burst_sender, &once);
			child_tell(&senders[i], 0);
			kill(getpid(), SIGUSR1);
			sigqueue(getpid(), SIGRTMIN + 1, (union sigval){0});
		}
		if (burst % 2 && plan.each < 50) /* let everything arrive before the first look */
			for (int i = 0; i < plan.senders && plan.many_links; i++)
				child_join(&senders[i]);
		take(&loop, inbox, plan.senders * plan.each);
		if (plan.many_links && !(burst % 2 && plan.each < 50))
			for (int i = 0; i < plan.senders; i++)
				child_join(&senders[i]);
	}
	for (int i = 0; i < plan.senders && !plan.many_links; i++)
		child_join(&senders[i]);
	CHECK(loop.others > 0, "the other signals come through, too");
	sendfd_inbox_close(inbox);
	loop_end(&loop);
}

static void as_lonely_user(void)
{
	if (geteuid() == 0)
		become(lonely_uid()); /* the signal queue's limit counts per user */
}

TEST_LIMIT(sigtimedwait_10000, 60) { run(false, 0, (struct plan){4, 25, 100, 0, false}); }
TEST_LIMIT(signalfd_10000, 60) { run(true, 0, (struct plan){4, 25, 100, 0, false}); }
TEST_LIMIT(sigtimedwait_single_parcels, 60) { run(false, 0, (struct plan){1, 2000, 1, 0, false}); }
TEST_LIMIT(signalfd_two_senders_two_parcels, 60) { run(true, 0, (struct plan){2, 500, 2, 0, false}); }
TEST_LIMIT(new_senders_for_every_burst, 60) { run(false, 0, (struct plan){4, 40, 5, 0, true}); }
TEST_LIMIT(new_senders_one_parcel_signalfd, 60) { run(true, 0, (struct plan){3, 60, 1, 0, true}); }

TEST_LIMIT(small_queue_sigtimedwait_10000, 60)
{
	as_lonely_user();
	run(false, 0, (struct plan){4, 25, 100, 9, false});
}

TEST_LIMIT(small_queue_signalfd_10000, 60)
{
	as_lonely_user();
	run(true, 0, (struct plan){4, 25, 100, 9, false});
}

TEST_LIMIT(small_queue_new_senders, 60)
{
	as_lonely_user();
	run(false, 0, (struct plan){5, 40, 4, 4, true});
}

TEST_LIMIT(queue_of_one, 60)
{
	as_lonely_user();
	run(false, 0, (struct plan){3, 60, 3, 2, false});
}

TEST_LIMIT(no_queue_at_all, 60) { run(true, 0, (struct plan){3, 60, 3, 1, false}); }
TEST_LIMIT(no_queue_new_senders, 60) { run(false, 0, (struct plan){3, 60, 3, 1, true}); }

static void *in_a_thread(void *arg)
{
	(void)arg;
	target = (pid_t)syscall(SYS_gettid);
	struct loop loop;
	loop_begin(&loop, true);
	sendfd_inbox *inbox = open_inbox(signo, SENDFD_INBOX_THREAD);
	struct plan plan = {1, 50, 20, 0, false};
	struct child sender = fork_child(burst_sender, &plan);
	for (int burst = 0; burst < plan.bursts; burst++) {
		child_tell(&sender, 0);
		take(&loop, inbox, plan.each);
	}
	child_join(&sender);
	sendfd_inbox_close(inbox);
	loop_end(&loop);
	return NULL;
}

TEST(thread_inbox_in_a_signalfd) { thread_join(thread_start(in_a_thread, NULL)); }

/* recv, recvs and claim take turns on the same inbox. */
TEST(mixed_with_recv)
{
	struct loop loop;
	loop_begin(&loop, false);
	target = getpid();
	sendfd_inbox *inbox = open_inbox(signo, 0);
	struct plan plan = {1, 300, 9, 0, false};
	struct child sender = fork_child(burst_sender, &plan);
	for (int burst = 0; burst < plan.bursts; burst++) {
		int fd;
		child_tell(&sender, 0);
		for (int i = 0; i < burst % 5; i++)
			take_number(recv_soon(inbox, NULL), 7);
		if (burst % 3 == 0) {
			CHECK_EQ(sendfd_recvs(inbox, &fd, 1, NULL, 0, NULL, NULL), 1);
			take_number(fd, 7);
		}
		take(&loop, inbox, 9 - burst % 5 - (burst % 3 == 0));
	}
	child_join(&sender);
	sendfd_inbox_close(inbox);
	CHECK(!pending(SIGRTMIN + 1));
}
