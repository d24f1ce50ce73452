/* The library: one inbox of this process for each way, and sendfd() to ourselves. */
#include "bench.h"

#include <errno.h>
#include <sendfd.h>
#include <signal.h>
#include <unistd.h>

#define SIGNALS SENDFD_SIGNO
#define QUIET (SENDFD_SIGNO + 1)
#define CLAIMED (SENDFD_SIGNO + 2)

static const struct timespec now = {0, 0};
static sendfd_inbox *signals_inbox, *quiet_inbox, *claimed_inbox;
static pid_t self;
static sigset_t claimed_set;

static int receive(sendfd_inbox *inbox)
{
	int fd = sendfd_recv(inbox, NULL, &now);

	must(fd >= 0, "sendfd_recv");
	return fd;
}

static void send_by(int sig, int fd)
{
	must(sendfd(self, sig, fd) == 0, "sendfd");
}

/* The first parcel makes the connection, which is kept. */
static sendfd_inbox *open_inbox(int sig, unsigned flags)
{
	sendfd_inbox *inbox;

	self = getpid();
	must(sendfd_inbox_open(sig, flags, &inbox) == 0, "sendfd_inbox_open");
	send_by(sig, 0);
	must(close(receive(inbox)) == 0, "close");
	return inbox;
}

static void signals_set_up(void)
{
	signals_inbox = open_inbox(SIGNALS, 0);
}

static void signals_put(int fd)
{
	send_by(SIGNALS, fd);
}

static int signals_take(void)
{
	return receive(signals_inbox);
}

static void quiet_set_up(void)
{
	quiet_inbox = open_inbox(QUIET, SENDFD_INBOX_NOSIGNAL);
}

static void quiet_put(int fd)
{
	send_by(QUIET, fd);
}

static int quiet_take(void)
{
	return receive(quiet_inbox);
}

static void claimed_set_up(void)
{
	claimed_inbox = open_inbox(CLAIMED, 0);
	sigemptyset(&claimed_set);
	sigaddset(&claimed_set, CLAIMED);
	sigaddset(&claimed_set, SIGIO);
}

static void claimed_put(int fd)
{
	send_by(CLAIMED, fd);
}

static int claimed_take(void)
{
	siginfo_t info;
	int fd;

	do {
		must(sigtimedwait(&claimed_set, &info, &now) > 0, "sigtimedwait");
		fd = sendfd_claim(claimed_inbox, &info, NULL);
	} while (fd == -EAGAIN);
	must(fd >= 0, "sendfd_claim");
	return fd;
}

const struct way sendfd_signals = {"sendfd-signals", signals_set_up, signals_put, signals_take};
const struct way sendfd_quiet = {"sendfd-quiet", quiet_set_up, quiet_put, quiet_take};
const struct way sendfd_claimed = {"sendfd-claimed", claimed_set_up, claimed_put, claimed_take};
