/* Signals of the program's own that have the numbers of an inbox: opening and closing one leaves them
 * pending, and takes back what the library has caused. */
#include "harness.h"

#define OWN 0x5eed

static void queue_own(int sig, int value)
{
	CHECK(sigqueue(getpid(), sig, (union sigval){.sival_int = value}) == 0);
}

static void to_this_thread(int sig, int value)
{
	CHECK(pthread_sigqueue(pthread_self(), sig, (union sigval){.sival_int = value}) == 0);
}

/* Takes one off the queue; its value, or -1. */
static int take_own(int sig)
{
	sigset_t set = set_of(sig, 0);
	siginfo_t si;
	if (sigtimedwait(&set, &si, &NOW) != sig)
		return -1;
	CHECK(si.si_code == SI_QUEUE && si.si_pid == getpid(), "code %d", si.si_code);
	return si.si_value.sival_int;
}

static void block(int sig)
{
	sigset_t set = set_of(sig, 0);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void expect_own(int first, int past)
{
	for (int i = first; i < past; i++)
		CHECK_EQ(take_own(S), OWN + i);
	CHECK(!pending(S));
}

TEST(an_open_leaves_what_is_pending)
{
	block(S);
	block(SIGIO);
	for (int i = 0; i < 3; i++)
		to_this_thread(S, OWN + i);
	queue_own(SIGIO, OWN);
	sendfd_inbox *inbox = open_inbox(S, 0);
	expect_own(0, 3);
	CHECK_EQ(take_own(SIGIO), OWN);
	sendfd_inbox_close(inbox);
}

TEST(a_close_leaves_what_others_have_queued)
{
	block(S);
	block(SIGIO);
	to_this_thread(S, OWN);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK_OK(sendfd(getpid(), S, 2));
	queue_own(S, OWN + 1);
	CHECK_OK(sendfd(getpid(), S, 2));
	to_this_thread(S, OWN + 2);
	queue_own(SIGIO, OWN);
	sendfd_inbox_close(inbox);
	/* Those of the thread come before those of the process. */
	CHECK_EQ(take_own(S), OWN);
	CHECK_EQ(take_own(S), OWN + 2);
	CHECK_EQ(take_own(S), OWN + 1);
	CHECK(!pending(S), "one of the library's");
	CHECK_EQ(take_own(SIGIO), OWN);
	CHECK(!pending(SIGIO));
}

/* A signalfd tells what sigtimedwait(3) of the C library does not: that it was raised. */
TEST(what_was_raised_is_pending_as_it_was)
{
	const int signals[] = {SIGIO, S};
	for (size_t i = 0; i < LEN(signals); i++) {
		block(signals[i]);
		CHECK(raise(signals[i]) == 0);
	}
	sendfd_inbox_close(open_inbox(S, 0));
	for (size_t i = 0; i < LEN(signals); i++) {
		sigset_t set = set_of(signals[i], 0);
		struct signalfd_siginfo si;
		int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
		CHECK(read(fd, &si, sizeof si) == sizeof si);
		CHECK_EQ(si.ssi_code, SI_TKILL);
		CHECK_EQ(si.ssi_pid, getpid());
		close(fd);
	}
}

/* A socket of the program's own signals by the same number. */
TEST(a_close_leaves_signals_of_the_programs_own_sockets)
{
	int pair[2];
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	block(S);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK(fcntl(pair[0], F_SETOWN, getpid()) == 0 && fcntl(pair[0], F_SETSIG, S) == 0);
	CHECK(fcntl(pair[0], F_SETFL, O_ASYNC) == 0);
	CHECK(send(pair[1], "x", 1, 0) == 1);
	CHECK_OK(sendfd(getpid(), S, 2));
	sendfd_inbox_close(inbox);
	sigset_t set = set_of(S, 0);
	siginfo_t si;
	CHECK(sigtimedwait(&set, &si, &NOW) == S && si.si_fd == pair[0], "%d", si.si_fd);
	CHECK(!pending(S));
	close(pair[0]);
	close(pair[1]);
}

/* Another thread waits for signals of the process, as many programs do it. */
static void *opens_and_closes(void *arg)
{
	sendfd_inbox_close(open_inbox(S, 0));
	CHECK(arg == NULL);
	return NULL;
}

TEST(what_the_process_has_pending_is_left_to_all_threads)
{
	block(S);
	block(SIGIO);
	queue_own(S, OWN);
	queue_own(SIGIO, OWN);
	thread_join(thread_start(opens_and_closes, NULL));
	expect_own(0, 1);
	CHECK_EQ(take_own(SIGIO), OWN);
}

/* What another thread than this one gets. */
static void *takes_what_there_is(void *arg)
{
	for (int i = 0; i < 2; i++)
		((int *)arg)[i] = take_own(S);
	return NULL;
}

static void stays_with(bool this_thread, bool process)
{
	int others[2];
	if (this_thread)
		to_this_thread(S, OWN);
	if (process)
		queue_own(S, OWN + 1);
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK_OK(sendfd(getpid(), S, 2));
	sendfd_inbox_close(inbox);
	thread_join(thread_start(takes_what_there_is, others));
	CHECK_EQ(others[0], process ? OWN + 1 : -1);
	CHECK_EQ(others[1], -1);
	CHECK_EQ(take_own(S), this_thread ? OWN : -1);
	CHECK_EQ(take_own(S), -1);
}

TEST(each_stays_with_whom_it_was_queued_for)
{
	block(S);
	for (int which = 0; which < 4; which++)
		stays_with(which & 1, which & 2);
}

/* KERNEL: no thread but the first can queue again what `kill` has queued. */
TEST(what_another_process_has_sent_stays)
{
	block(S);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(kill(getppid(), S) ? 1 : 0);
	CHECK(exited_well(pid));
	thread_join(thread_start(opens_and_closes, NULL));
	sigset_t set = set_of(S, 0);
	siginfo_t si;
	CHECK(sigtimedwait(&set, &si, &NOW) == S);
	CHECK(!pending(S));
}

/* --- with a handler ------------------------------------------------------------------------------- */
static volatile sig_atomic_t handled, handled_own;

static void on_signal(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	handled++;
	handled_own += si->si_code == SI_QUEUE && si->si_value.sival_int == OWN;
}

static void handler_for(int sig)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(sig, &action, NULL) == 0);
}

/* It runs once the mask is given back, for the program's own signals and for no others. Without any, no signal
 * of the library's has room in the queue, and SIGIO stands for it: the limit counts those of all processes of
 * this user, so no number but 0 says how many have. */
static void handled_after_close(bool own)
{
	handler_for(S);
	handler_for(SIGIO);
	if (own)
		need_signals(8);
	sendfd_inbox *inbox = open_inbox(S, 0);
	if (own)
		to_this_thread(S, OWN);
	else
		set_limit(RLIMIT_SIGPENDING, 0);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sendfd(getpid(), S, 2));
	CHECK(pending(own ? S : SIGIO));
	CHECK_EQ(handled, 0);
	sendfd_inbox_close(inbox);
	CHECK_EQ(handled, own);
	CHECK_EQ(handled_own, own);
	CHECK(!pending(S) && !pending(SIGIO));
}

TEST(a_handler_sees_the_programs_own_signals_alone) { handled_after_close(true); }
TEST(a_handler_does_not_see_an_overflow) { handled_after_close(false); }
