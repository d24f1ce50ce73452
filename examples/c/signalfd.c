/* An inbox in an epoll loop through a signalfd, which also carries SIGTERM and SIGCHLD: each
 * connection is answered by a child. A forked child does not have the inbox; the library closes it
 * there. Next to the signalfd: a line on standard input asks how many were answered.
 * Usage: signalfd */
#include "answer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

static sendfd_inbox *inbox;
static int epoll, answered;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void say(const char *what)
{
	printf("worker %d %s, %d answered\n", (int)getpid(), what, answered);
	fflush(stdout);
}

static void answer_in_a_child(int connection, const sendfd_info *info)
{
	pid_t worker = getpid(), child = fork();

	if (child < 0)
		perror("fork");
	if (child == 0) {
		answer(connection, worker, info);
		_exit(0);
	}
	close(connection);
}

static void claim(const struct signalfd_siginfo *signal)
{
	sendfd_info info;
	int connection = sendfd_claim_signalfd(inbox, signal, &info);

	if (connection >= 0)
		answer_in_a_child(connection, &info);
	else if (!may_go_on(inbox, -connection, &info))
		die("sendfd_claim_signalfd");
}

/* One SIGCHLD may stand for several children. */
static void reap(int flags)
{
	int status;

	while (waitpid(-1, &status, flags) > 0)
		answered += status == 0;
}

/* 0 when it is time to end. */
static int take_signal(int signals)
{
	struct signalfd_siginfo signal;

	if (read(signals, &signal, sizeof signal) != (ssize_t)sizeof signal) {
		if (errno != EAGAIN)
			die("read");
		return 1;
	}
	switch (signal.ssi_signo) {
	case SIGTERM:
		return 0;
	case SIGCHLD:
		reap(WNOHANG);
		return 1;
	default:
		claim(&signal);
		return 1;
	}
}

static void take_input(void)
{
	char input[80];

	if (read(0, input, sizeof input) > 0)
		say("goes on");
	else
		epoll_ctl(epoll, EPOLL_CTL_DEL, 0, NULL);
}

static int watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(void)
{
	int signals, running = 1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SENDFD_SIGNO);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (signals < 0 || epoll < 0 || watch(signals) < 0)
		die("signalfd");
	watch(0); /* not possible with a file */
	if (sendfd_inbox_open(SENDFD_SIGNO, 0, &inbox) < 0)
		die("sendfd_inbox_open");
	printf("worker %d is ready\n", (int)getpid());
	fflush(stdout);

	while (running) {
		struct epoll_event event;
		int ready = epoll_wait(epoll, &event, 1, -1);

		if (ready < 0 && errno != EINTR)
			die("epoll_wait");
		if (ready == 1 && event.data.fd == signals)
			running = take_signal(signals);
		else if (ready == 1)
			take_input();
	}
	sendfd_inbox_close(inbox);
	reap(0);
	say("ends");
	return 0;
}
