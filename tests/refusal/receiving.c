/* The ways to receive. The peer sends. */
#include "ways.h"

#include <grp.h>
#include <poll.h>
#include <sys/signalfd.h>

static int three[3];
static sendfd_info kept_info;
static siginfo_t found;
static struct signalfd_siginfo read_found;

static void open_it(unsigned with)
{
	note_before();
	NEED(sendfd_inbox_open(S, with, &inbox) == 0);
	start_peer(peer_sends);
}

static void first(void) { open_it(0), have_sent(7); }
static void first_quiet(void) { open_it(SENDFD_INBOX_NOSIGNAL), have_sent(7); }
static void later(void) { first(), take(7), have_sent(7); }
static void later_quiet(void) { first_quiet(), take(7), have_sent(7); }
static void first_of_three(void) { open_it(0), have_sent(77); }
static void none(void) { first(), take(7); }
static void none_quiet(void) { first_quiet(), take(7); }

static void kept(void)
{
	first_of_three();
	NEED(sendfd_recv(inbox, &kept_info, &NOW) == -EMSGSIZE);
}

static void at_the_end(void)
{
	none();
	tell(to_peer, 0);
	end_peer();
}

static void at_the_end_quiet(void)
{
	none_quiet();
	tell(to_peer, 0);
	end_peer();
}

/* Its mail is a second connection's, whose sender has gone already. */
static void newcomer(unsigned with)
{
	open_it(with);
	have_sent(1);
	take(1);
	tell(to_peer, 0);
	end_peer();
	start_peer(peer_sends);
	have_sent(7);
	tell(to_peer, 0);
	end_peer();
}

static void of_a_newcomer(void) { newcomer(0); }
static void of_a_newcomer_quiet(void) { newcomer(SENDFD_INBOX_NOSIGNAL); }

static void has_signalled(void)
{
	sigset_t set;
	set_of_both(&set);
	NEED(sigtimedwait(&set, &found, &SOON) > 0);
}

static void claimable(void) { first(), has_signalled(); }
static void claimable_later(void) { later(), has_signalled(); }

/* After the end of the first. */
static void claimable_of_a_newcomer(void)
{
	of_a_newcomer();
	has_signalled();
	while (found.si_code == POLL_HUP) {
		NEED(sendfd_claim(inbox, &found, NULL) == -EAGAIN);
		has_signalled();
	}
}

static void claimable_by_signalfd(void)
{
	sigset_t set;
	first();
	set_of_both(&set);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	NEED(fd >= 0 && read(fd, &read_found, sizeof read_found) == sizeof read_found);
	close(fd);
}

/* Of another user, in a group that is invited: tells that it waits to be let in, and sends when it is told to. */
static void guest_sends(int from, int to)
{
	uid_t user = 1000000 + (uid_t)getpid();
	NEED(setgroups(1, (gid_t[]){5}) == 0 && setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0);
	int fd = numbered(7), result, tries = 0;
	NEED(sendfd(getppid(), S, fd) == -EAGAIN);
	tell(to, 0);
	hear(from);
	while ((result = sendfds(getppid(), S, &fd, 1, NULL, 0, &SOON)) == -EPERM)
		NEED(tries++ < 5);
	NEED(result == 0);
	close(fd);
	hear(from);
}

static void guest(void)
{
	sendfd_inbox_options options = {.size = sizeof options, .gids = (gid_t[]){5}, .ngids = 1, .directory = ""};
	note_before();
	NEED(sendfd_inbox_open_with(S, &options, &inbox) == 0);
	start_peer(guest_sends);
	NEED(hear(from_peer) == 0);
}

static int recv_now(void) { return sendfd_recv(inbox, NULL, &NOW); }
static int recv_briefly(void) { return sendfd_recv(inbox, NULL, &BRIEFLY); }
static int claim(void) { return sendfd_claim(inbox, &found, NULL); }
static int claim_by_signalfd(void) { return sendfd_claim_signalfd(inbox, &read_found, NULL); }

static int discard(void) { return sendfd_discard(inbox, &kept_info); }

static int recvs(void)
{
	char data[4];
	return sendfd_recvs(inbox, three, 3, data, 4, NULL, &NOW);
}

static void nothing_more(void);

/* It comes in, and what it sends then. */
static void guest_comes_in(int result)
{
	NEED(result < 0);
	tell(to_peer, 0);
	take(7);
	tell(to_peer, 0);
	end_peer();
	nothing_more();
}

static void nothing_more(void)
{
	NEED(sendfd_recv(inbox, NULL, &NOW) == -EAGAIN);
	if (!peer)
		start_peer(peer_sends);
	have_sent(8);
	take(8);
	close_and_compare();
}

/* Whoever waits for the inbox's descriptor is told of what was left. */
static void polls_readable(void)
{
	struct pollfd ready = {sendfd_inbox_fileno(inbox), POLLIN, 0};
	NEED(poll(&ready, 1, 2000) == 1);
}

static void is_received(int result)
{
	if (result >= 0) {
		NEED(number_of(result) == 7);
	} else {
		polls_readable();
		take(7);
	}
	nothing_more();
}

/* Whoever waits for signals alone is told of what was left; but no kernel says that there is nothing (EAGAIN)
 * where there is something, so that need not be made up for. */
static void is_claimed(int result)
{
	if (result == -EAGAIN && is_refused_with(EAGAIN))
		return is_received(result);
	if (result >= 0)
		NEED(number_of(result) == 7);
	while (result < 0) {
		has_signalled();
		result = claim();
		NEED(result == -EAGAIN || number_of(result) == 7);
	}
	nothing_more();
}

static void are_received(int result)
{
	if (result < 0) {
		polls_readable();
		NEED(recvs() == 3);
	}
	NEED(result < 0 || result == 3);
	NEED(number_of(three[0]) == 77);
	close(three[1]);
	close(three[2]);
	nothing_more();
}

/* It is the first all the same, with the id that it had. */
static void is_kept(int result)
{
	sendfd_info info;
	NEED(result < 0);
	polls_readable();
	NEED(sendfd_recv(inbox, &info, &NOW) == -EMSGSIZE && info.id == kept_info.id && info.nfds == 3);
	NEED(discard() == 0);
	nothing_more();
}

static void is_discarded(int result)
{
	if (result < 0)
		return is_kept(result);
	NEED(discard() == -EAGAIN);
	nothing_more();
}

static void nothing_comes(int result)
{
	NEED(result < 0);
	nothing_more();
}

const struct path RECEIVING[] = {
	{"first-mail", "sendfd_recv", first, recv_now, is_received, ALWAYS},
	{"first-mail-quiet", "sendfd_recv", first_quiet, recv_now, is_received, ALWAYS},
	{"a-guest", "sendfd_recv", guest, recv_now, guest_comes_in, NEEDS_ROOT | OLD_TOO},
	{"later-mail", "sendfd_recv", later, recv_now, is_received, ALWAYS},
	{"later-mail-quiet", "sendfd_recv", later_quiet, recv_now, is_received, ALWAYS},
	{"newcomer", "sendfd_recv", of_a_newcomer, recv_now, is_received, ALWAYS},
	{"newcomer-quiet", "sendfd_recv", of_a_newcomer_quiet, recv_now, is_received, ALWAYS},
	{"wait", "sendfd_recv", first, recv_briefly, is_received, ALWAYS},
	{"wait-quiet", "sendfd_recv", first_quiet, recv_briefly, is_received, ALWAYS},
	{"claim", "sendfd_claim", claimable, claim, is_claimed, ALWAYS},
	{"claim-later", "sendfd_claim", claimable_later, claim, is_claimed, ALWAYS},
	{"claim-newcomer", "sendfd_claim", claimable_of_a_newcomer, claim, is_claimed, ALWAYS},
	{"claim-by-signalfd", "sendfd_claim_signalfd", claimable_by_signalfd, claim_by_signalfd, is_claimed, ALWAYS},
	{"three-and-data", "sendfd_recvs", first_of_three, recvs, are_received, ALWAYS},
	{"kept", "sendfd_recv", kept, recv_now, is_kept, ALWAYS},
	{"kept-and-taken", "sendfd_recvs", kept, recvs, are_received, ALWAYS},
	{"kept-and-discarded", "sendfd_discard", kept, discard, is_discarded, ALWAYS},
	{"no-mail", "sendfd_recv", none, recv_briefly, nothing_comes, ALWAYS},
	{"no-mail-quiet", "sendfd_recv", none_quiet, recv_briefly, nothing_comes, ALWAYS},
	{"end-of-a-sender", "sendfd_recv", at_the_end, recv_now, nothing_comes, ALWAYS},
	{"end-of-a-sender-quiet", "sendfd_recv", at_the_end_quiet, recv_now, nothing_comes, ALWAYS},
	{NULL, NULL, NULL, NULL, NULL, ALWAYS},
};
