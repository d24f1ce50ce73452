/* What a hostile receiver says to a guest: nothing of it keeps the guest waiting, or counts as a welcome. */
#include "harness.h"

#define AT_ONCE 1500 /* milliseconds that a call may take on a loaded machine */

static const char WELCOME[16] = "sndf\1\0\0\0\0\0\0\0\2\0\0";
static char guest_name[SENDFD_ADDRESS_MAX + 8], own_name[SENDFD_ADDRESS_MAX];

/* In a thread: where the guest was faster, this is the last to close it. */
static void *closes(void *arg)
{
	close((int)(intptr_t)arg);
	return NULL;
}

static void says(int link, const void *bytes, size_t len, bool lingers)
{
	int other, fd = lingers ? lingering_socket(&other) : -1;
	raw_send(link, bytes, len, &fd, lingers);
	if (lingers)
		thread_start(closes, (void *)(intptr_t)fd);
}

enum words { NOTHING, NONSENSE, OTHER_VERSION, SHORT, LONG, EMPTY, WITH_A_SOCKET, A_SOCKET_FIRST, LAST_LIE = A_SOCKET_FIRST,
	     A_SOCKET_BEHIND };

static void speaks(int link, enum words words)
{
	static char large[4096];
	char other[16];
	memcpy(other, WELCOME, 16);
	other[4] = 2;
	memcpy(large, WELCOME, 16);
	switch (words) {
	case NOTHING: break;
	case NONSENSE: says(link, "0123456789abcdef", 16, false); break;
	case OTHER_VERSION: says(link, other, 16, false); break;
	case SHORT: says(link, WELCOME, 15, false); break;
	case LONG: says(link, large, sizeof large, false); break;
	case EMPTY: says(link, "", 0, false); break;
	case WITH_A_SOCKET: says(link, WELCOME, 16, true); break;
	case A_SOCKET_FIRST:
		says(link, "x", 1, true);
		says(link, WELCOME, 16, false);
		break;
	case A_SOCKET_BEHIND:
		says(link, WELCOME, 16, false);
		says(link, "x", 1, true);
		break;
	}
}

/* Has no inbox any more, and listens under the name for guests by itself. */
static void receives(void *arg)
{
	int links[64], n = 0;
	uid_t uid = lonely_uid();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK_OK(sendfd_inbox_address(inbox, own_name, sizeof own_name));
	sendfd_inbox_close(inbox);
	become(uid);
	snprintf(guest_name, sizeof guest_name, "%s/guests", own_name);
	int listener = raw_listen(guest_name);
	parent_tell(1);
	for (;;) {
		struct pollfd polled = {listener, POLLIN, 0};
		CHECK(poll(&polled, 1, -1) == 1);
		int link = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (link < 0)
			continue;
		speaks(link, *(enum words *)arg);
		if (*(enum words *)arg == NOTHING)
			close(link);
		else if (n < 64)
			links[n++] = link;
	}
	(void)links;
}

static pid_t receiver;

static void is_a_guest(void *arg)
{
	become(lonely_uid());
	struct timespec limit = in_ms(10000);
	sendfd_outbox *outbox = NULL;
	long start = now_ms();
	if (*(enum words *)arg <= LAST_LIE) {
		CHECK_ERR(sendfds(receiver, S, NULL, 0, "x", 1, &limit), EPERM);
		CHECK_ERR(sendfd_outbox_open(receiver, S, &limit, &outbox), EPERM);
	} else {
		CHECK_OK(sendfds(receiver, S, NULL, 0, "x", 1, &limit));
		CHECK_OK(sendfd_outbox_open(receiver, S, &limit, &outbox));
		CHECK_OK(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &limit));
		sendfd_outbox_close(outbox);
	}
	long took = now_ms() - start;
	CHECK(took < AT_ONCE, "%ld ms", took);
}

static void is_told(enum words words)
{
	struct child fake = fork_child(receives, &words);
	receiver = fake.pid;
	child_hear(&fake);
	struct child child = fork_child(is_a_guest, &words);
	child_join(&child);
	child_kill(&fake);
}

TEST_NEEDS(words_that_are_no_welcome, ROOT)
{
	for (enum words words = NOTHING; words <= EMPTY; words++)
		is_told(words);
}

TEST_WITH(a_welcome_that_brings_a_socket_that_lingers, 60, ROOT) { is_told(WITH_A_SOCKET); }
TEST_WITH(a_socket_that_lingers_before_a_welcome, 60, ROOT) { is_told(A_SOCKET_FIRST); }
TEST_WITH(a_socket_that_lingers_behind_a_welcome, 60, ROOT) { is_told(A_SOCKET_BEHIND); }

/* Somebody else listens under the name. */
static void squats(void *arg)
{
	become(*(uid_t *)arg);
	enum words words = A_SOCKET_BEHIND;
	int listener = raw_listen(guest_name);
	parent_tell(1);
	for (;;) {
		struct pollfd polled = {listener, POLLIN, 0};
		CHECK(poll(&polled, 1, -1) == 1);
		speaks(accept4(listener, NULL, NULL, SOCK_CLOEXEC), words);
	}
}

static void meets_a_squatter(void *arg)
{
	(void)arg;
	become(lonely_uid());
	CHECK_ERR(sendfds(receiver, S, NULL, 0, "x", 1, &NOW), EPERM);
}

TEST_NEEDS(a_squatter_on_the_name_for_guests, ROOT)
{
	uid_t uid = lonely_uid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	receiver = getpid();
	CHECK_OK(sendfd_inbox_address(inbox, own_name, sizeof own_name));
	snprintf(guest_name, sizeof guest_name, "%s/guests", own_name);
	struct child squatter = fork_child(squats, &uid), child;
	child_hear(&squatter);
	child = fork_child(meets_a_squatter, NULL);
	child_join(&child);
	child_kill(&squatter);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}
