/* Signals that come late: after exec, after unblocking, after closing. None may kill. */
#include "harness.h"

extern char **environ;
static pid_t target;

static void unblocks_and_lives(int sig)
{
	sigset_t set = set_of(sig, SIGIO, 0), none;
	sigemptyset(&none);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	struct timespec brief = in_ms(10);
	CHECK(ppoll(NULL, 0, &brief, &none) == 0);
}

/* The image that is run by exec below: `prog TEST` with this in its environment. */
__attribute__((constructor)) static void second_image(void)
{
	const char *sig = getenv("SENDFD_TEST_SECOND_IMAGE");
	if (!sig)
		return;
	unblocks_and_lives(atoi(sig));
	_exit(0);
}

static void execs(void *arg)
{
	char number[16], *args[] = {"image", NULL};
	unsigned flags = *(unsigned *)arg;
	sendfd_inbox *inbox = open_inbox(S, flags);
	target = getpid();
	send_memfd_from_child(target, 1);
	expect_number(inbox, 1);
	for (int i = 0; i < 20; i++)
		send_memfd(target, 2);
	send_memfd_from_child(target, 3);
	CHECK(pending(S) || (flags & SENDFD_INBOX_NOSIGNAL));
	snprintf(number, sizeof number, "%d", S);
	setenv("SENDFD_TEST_SECOND_IMAGE", number, 1);
	execve("/proc/self/exe", args, environ);
	CHECK(false, "execve");
}

TEST(exec_with_mail_pending)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			execs(&flags);
		CHECK(exited_well(pid), "flags %u", flags);
	}
}

static void floods_until_gone(void *arg)
{
	int fd = make_memfd(1), result;
	(void)arg;
	while ((result = sendfd(target, S, fd)) == 0 || result == -EAGAIN)
		;
	CHECK(result == -ECONNREFUSED || result == -ESRCH, "%s", errno_name(-result));
}

static void execs_under_fire(void *arg)
{
	char number[16], *args[] = {"image", NULL};
	(void)arg;
	open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	snprintf(number, sizeof number, "%d", S);
	setenv("SENDFD_TEST_SECOND_IMAGE", number, 1);
	execve("/proc/self/exe", args, environ);
}

TEST_LIMIT(exec_under_fire, 60)
{
	for (int i = 0; i < 50; i++) {
		struct child receiver = fork_child(execs_under_fire, NULL);
		child_hear(&receiver);
		target = receiver.pid;
		struct child sender = fork_child(floods_until_gone, NULL);
		child_tell(&receiver, 0);
		child_join(&receiver);
		child_join(&sender);
	}
}

/* The program unblocks the signal itself: with mail pending, and right after closing. */
TEST(unblocking_does_not_kill)
{
	target = getpid();
	uint64_t mask = mask_now();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_THREAD; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		send_memfd_from_child(target, 1);
		unblocks_and_lives(S);
		expect_number(inbox, 1); /* the signal is lost, the mail is not */
		sigset_t set = set_of(S, SIGIO, 0);
		sigprocmask(SIG_BLOCK, &set, NULL);
		send_memfd_from_child(target, 2);
		sendfd_inbox_close(inbox);
		CHECK(!pending(S) && !pending(SIGIO));
		unblocks_and_lives(S);
		sigqueue(getpid(), S, (union sigval){0}); /* a late one */
		kill(getpid(), SIGIO);
		CHECK(mask_now() == mask, "unblocked as before");
	}
}

static void on_signal(int sig) { (void)sig; }

/* What the program arranged stays: its mask, and a handler it installed. */
TEST(close_gives_the_mask_back)
{
	int combinations[][3] = {{0, 0, 0}, {S, 0, 0}, {SIGIO, 0, 0}, {S, SIGIO, 0}};
	struct sigaction action = {.sa_handler = on_signal}, now;
	CHECK(sigaction(S, &action, NULL) == 0);
	for (int i = 0; i < 4; i++) {
		sigset_t set = set_of(combinations[i][0], combinations[i][1], 0), all = set_of(S, SIGIO, S + 1, 0);
		sigprocmask(SIG_UNBLOCK, &all, NULL);
		sigprocmask(SIG_BLOCK, &set, NULL);
		uint64_t mask = mask_now();
		sendfd_inbox *one = open_inbox(S, 0), *two = open_inbox(S + 1, 0);
		CHECK((mask_now() & ~mask) || i == 3);
		sendfd_inbox_close(i % 2 ? two : one);
		sendfd_inbox_close(i % 2 ? one : two);
		CHECK(mask_now() == mask, "%llx, was %llx", (unsigned long long)mask_now(), (unsigned long long)mask);
	}
	CHECK(sigaction(S, NULL, &now) == 0 && now.sa_handler == on_signal);
}

/* Blocked by the program before, so that closing does not unblock them: nothing of ours is left. */
TEST(close_takes_back_what_is_pending)
{
	sigset_t set = set_of(S, SIGIO, 0);
	struct sigaction action = {.sa_handler = on_signal};
	target = getpid();
	for (int handler = 0; handler < 2; handler++) {
		if (handler)
			CHECK(sigaction(S, &action, NULL) == 0);
		sigprocmask(SIG_BLOCK, &set, NULL);
		sendfd_inbox *inbox = open_inbox(S, 0);
		send_memfd_from_child(target, 1);
		expect_number(inbox, 1);
		for (long n = 0; n < 10; n++)
			send_memfd_from_child(target, n);
		CHECK(pending(S));
		sendfd_inbox_close(inbox);
		CHECK(!pending(S) && !pending(SIGIO));
	}
}
