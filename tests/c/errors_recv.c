/* Every errno of receiving that can be provoked, and that a call that fails leaves its outputs alone. */
#include "harness.h"

#include <limits.h>

static const sendfd_info untouched = {-7, -7, 77, 77, 777, 777, -7, 77, {7, 7, 7, 7}};
/* Field by field: what lies between them is nobody's. */
static bool same(const sendfd_info *one, const sendfd_info *two)
{
	return one->signo == two->signo && one->pid == two->pid && one->uid == two->uid && one->gid == two->gid &&
	       one->nfds == two->nfds && one->len == two->len && one->reply == two->reply && one->id == two->id &&
	       memcmp(one->reserved, two->reserved, sizeof one->reserved) == 0;
}
#define CHECK_UNTOUCHED(info) CHECK(same(&(info), &untouched))

TEST(open_einval)
{
	sendfd_inbox *const mark = (sendfd_inbox *)0x1234;
	sendfd_inbox *inbox = mark;
	int signals[] = {0, -1, 1, SIGKILL, SIGIO, 32, 33, SIGRTMIN - 1, SIGRTMAX + 1, INT_MAX, INT_MIN};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		CHECK_ERR(sendfd_inbox_open(signals[i], 0, &inbox), EINVAL);
	unsigned flags[] = {8, 16, 0x80000000u, ~0u, SENDFD_INBOX_NOSIGNAL | 16};
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		CHECK_ERR(sendfd_inbox_open(S, flags[i], &inbox), EINVAL);
	CHECK(inbox == mark);
	CHECK_ERR(sendfd_inbox_open(S, 0, NULL), EINVAL);
	CHECK_ERR(sendfd(getpid(), S, 2), ECONNREFUSED); /* and none was opened */
}

TEST(null_inbox)
{
	sendfd_info info = untouched;
	siginfo_t si = {.si_signo = S};
	struct signalfd_siginfo ssi = {.ssi_signo = S};
	int fd = -7;
	sendfd_inbox_close(NULL);
	CHECK_ERR(sendfd_inbox_fileno(NULL), EINVAL);
	CHECK_ERR(sendfd_recv(NULL, &info, &NOW), EINVAL);
	CHECK_ERR(sendfd_recvs(NULL, &fd, 1, NULL, 0, &info, &NOW), EINVAL);
	CHECK_ERR(sendfd_claim(NULL, &si, &info), EINVAL);
	CHECK_ERR(sendfd_claim_signalfd(NULL, &ssi, &info), EINVAL);
	CHECK_UNTOUCHED(info);
	CHECK_EQ(fd, -7);
}

TEST(bad_arguments_take_nothing)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		send_memfd(getpid(), 3);
		sendfd_info info = untouched;
		int fd = -7;
		char byte = 'x';
		struct timespec bad[] = {{-1, 0}, {0, -1}, {0, 1000000000}, {LONG_MIN, LONG_MIN}};
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			CHECK_ERR(sendfd_recv(inbox, &info, &bad[i]), EINVAL);
			CHECK_ERR(sendfd_recvs(inbox, &fd, 1, &byte, 1, &info, &bad[i]), EINVAL);
		}
		CHECK_ERR(sendfd_recvs(inbox, NULL, 1, &byte, 1, &info, &NOW), EINVAL);
		CHECK_ERR(sendfd_recvs(inbox, &fd, 1, NULL, 1, &info, &NOW), EINVAL);
		CHECK_ERR(sendfd_claim(inbox, NULL, &info), EINVAL);
		CHECK_ERR(sendfd_claim_signalfd(inbox, NULL, &info), EINVAL);
		CHECK_UNTOUCHED(info);
		CHECK_EQ(fd, -7);
		CHECK_EQ(byte, 'x');
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		take_number(CHECK_OK(sendfd_recv(inbox, NULL, &NOW)), 3); /* ret_info may be NULL */
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

TEST(eagain_and_etimedout)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		sendfd_info info = untouched;
		int fd = -7;
		CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EAGAIN);
		CHECK_ERR(sendfd_recvs(inbox, &fd, 1, NULL, 0, &info, &NOW), EAGAIN);
		long waits[] = {1, 30, 120};
		for (int i = 0; i < 3; i++) {
			struct timespec limit = in_ms(waits[i]);
			CHECK_TIMES_OUT(sendfd_recv(inbox, &info, &limit), waits[i]);
		}
		struct timespec nanosecond = {0, 1};
		CHECK_ERR(sendfd_recvs(inbox, &fd, 1, NULL, 0, &info, &nanosecond), ETIMEDOUT);
		CHECK_UNTOUCHED(info);
		CHECK_EQ(fd, -7);
		sendfd_inbox_close(inbox);
	}
}

/* LONG_MAX seconds are no timeout at all: mail that comes ends the wait. */
static void *later_sender(void *arg)
{
	CHECK(poll(NULL, 0, *(int *)arg) == 0); /* most likely the receiver sleeps by now; any order will do */
	send_memfd(getpid(), 4);
	return NULL;
}

TEST(very_long_timeouts)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct timespec limits[] = {{LONG_MAX, 999999999}, {LONG_MAX / 1000, 0}, {3000000, 0}, {1L << 33, 5}};
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		int ms = 20;
		pthread_t sender = thread_start(later_sender, &ms);
		take_number(CHECK_OK(sendfd_recv(inbox, NULL, &limits[i])), 4);
		thread_join(sender);
	}
	sendfd_inbox_close(inbox);
}

TEST(emsgsize_tells_and_keeps)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		int sent[3] = {make_memfd(30), make_memfd(31), make_memfd(32)}, fds[4] = {-7, -7, -7, -7};
		char data[16] = "untouched";
		CHECK_OK(sendfds(getpid(), S, sent, 3, "abcdef", 6, &NOW));
		send_memfd(getpid(), 33);
		CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, NULL, &NOW), EMSGSIZE);
		int before = count_fds(); /* the link has been accepted */
		for (int round = 0; round < 3; round++) {
			sendfd_info info = untouched;
			CHECK_ERR(sendfd_recv(inbox, &info, NULL), EMSGSIZE);
			CHECK(info.nfds == 3 && info.len == 6 && info.pid == getpid() && info.signo == S &&
			      info.uid == getuid() && info.gid == getgid());
			struct {
				size_t fds, len;
			} small[] = {{0, 0}, {2, 16}, {3, 5}, {3, 0}, {0, 6}, {1, 6}};
			for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
				info = untouched;
				CHECK_ERR(sendfd_recvs(inbox, small[i].fds ? fds : NULL, small[i].fds,
						       small[i].len ? data : NULL, small[i].len, &info, &NOW),
					  EMSGSIZE);
				CHECK(info.nfds == 3 && info.len == 6, "%zu %zu", small[i].fds, small[i].len);
			}
			CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
		}
		CHECK(fds[0] == -7 && fds[1] == -7 && fds[2] == -7 && strcmp(data, "untouched") == 0);
		CHECK_EQ(count_fds(), before);
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		sendfd_info info;
		CHECK_EQ(sendfd_recvs(inbox, fds, 4, data, sizeof data, &info, &NOW), 3);
		CHECK(memcmp(data, "abcdefhe", 8) == 0, "bytes past the parcel are untouched: %.8s", data);
		CHECK_EQ(fds[3], -7);
		for (int i = 0; i < 3; i++) {
			CHECK(is_cloexec(fds[i]));
			take_number(fds[i], 30 + i);
			close(sent[i]);
		}
		expect_number(inbox, 33); /* the order is kept */
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

static sendfd_inbox *shared;
static void *other_thread(void *arg)
{
	(void)arg;
	sendfd_info info = untouched;
	siginfo_t si = {.si_signo = S, .si_code = POLL_IN};
	struct signalfd_siginfo ssi = {.ssi_signo = S, .ssi_code = POLL_IN};
	int fd = -7;
	CHECK_ERR(sendfd_recv(shared, &info, NULL), EPERM);
	CHECK_ERR(sendfd_recvs(shared, &fd, 1, NULL, 0, &info, NULL), EPERM);
	CHECK_ERR(sendfd_claim(shared, &si, &info), EPERM);
	CHECK_ERR(sendfd_claim_signalfd(shared, &ssi, &info), EPERM);
	CHECK_UNTOUCHED(info);
	CHECK_EQ(fd, -7);
	CHECK(sendfd_inbox_fileno(shared) >= 0 && readable(sendfd_inbox_fileno(shared)));
	return NULL;
}

TEST(eperm_from_another_thread)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_THREAD; flags++) {
		shared = open_inbox(S, flags);
		send_memfd(getpid(), 6);
		thread_join(thread_start(other_thread, NULL));
		expect_number(shared, 6);
		sendfd_inbox_close(shared);
	}
}

TEST(eaddrinuse)
{
	for (unsigned first = 0; first < 4; first++)
		for (unsigned second = 0; second < 4; second++) {
			sendfd_inbox *inbox = open_inbox(S, first), *none = NULL;
			/* the main thread and its process have one address; the answer is given at once */
			for (int i = 0; i < 100; i++)
				CHECK_ERR(sendfd_inbox_open(S, second, &none), EADDRINUSE);
			CHECK(!none);
			send_memfd(getpid(), 8); /* the first is not harmed */
			expect_number(inbox, 8);
			sendfd_inbox_close(inbox);
		}
}

static void on_signal(int sig) { (void)sig; }

TEST(eintr)
{
	/* again and again, so that one signal comes while the call waits */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct itimerspec every = {in_ms(10), in_ms(10)};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	timer_t timer;
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		sendfd_info info = untouched;
		struct timespec limit = in_ms(15000);
		CHECK(timer_settime(timer, 0, &every, NULL) == 0);
		CHECK_ERR(sendfd_recv(inbox, &info, NULL), EINTR);
		CHECK_ERR(sendfd_recv(inbox, &info, &limit), EINTR);
		CHECK_UNTOUCHED(info);
		CHECK(timer_settime(timer, 0, &(struct itimerspec){0}, NULL) == 0);
		send_memfd(getpid(), 9);
		expect_number(inbox, 9);
		sendfd_inbox_close(inbox);
	}
	timer_delete(timer);
}

TEST(claim_of_signals_that_announce_nothing)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	sendfd_info info = untouched;
	int codes[] = {SI_QUEUE, SI_USER, SI_TKILL, SI_KERNEL, POLL_IN, POLL_HUP, POLL_ERR, 99, -99};
	int fds[] = {-1, 0, 2, sendfd_inbox_fileno(inbox), INT_MAX, INT_MIN};
	for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
		for (size_t f = 0; f < sizeof fds / sizeof *fds; f++) {
			siginfo_t si = {.si_signo = c & 1 ? S : SIGIO, .si_code = codes[c]};
			si.si_fd = fds[f];
			struct signalfd_siginfo ssi = {.ssi_signo = S, .ssi_code = codes[c], .ssi_fd = fds[f]};
			CHECK_ERR(sendfd_claim(inbox, &si, &info), EAGAIN);
			CHECK_ERR(sendfd_claim_signalfd(inbox, &ssi, &info), EAGAIN);
		}
	CHECK_UNTOUCHED(info);
	siginfo_t other = {.si_signo = S + 1, .si_code = POLL_IN};
	CHECK_ERR(sendfd_claim(inbox, &other, &info), EINVAL);
	CHECK(!pending(S) && !pending(SIGIO), "an empty inbox rings");
	send_memfd(getpid(), 10);
	siginfo_t si = {.si_signo = S, .si_code = SI_USER}; /* any signal is a reason to look */
	take_number(CHECK_OK(sendfd_claim(inbox, &si, &info)), 10);
	sendfd_inbox_close(inbox);
}

TEST(claim_on_a_quiet_inbox_is_refused_or_works)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	siginfo_t si = {.si_signo = S, .si_code = POLL_IN};
	send_memfd(getpid(), 11);
	int fd = sendfd_claim(inbox, &si, NULL);
	CHECK(fd >= 0 || fd == -EINVAL || fd == -EAGAIN || fd == -EPERM, "%s", errno_name(-fd));
	if (fd >= 0)
		take_number(fd, 11);
	else
		expect_number(inbox, 11);
	sendfd_inbox_close(inbox);
}
