/* What is remembered about a connection that is gone, or put off until later, must not bring a later parcel of
 * a sender before an earlier one.
 *
 * The sender here gives up one connection and takes up another, as the library's do that have very many. It
 * is played by hand, so that everything is where it has to be: the connections are this process's own. */
#include "harness.h"

static sendfd_inbox *inbox;
static char name[64];

/* Among the numbers: those that have to come in this order. */
#define FIRST 1001
#define SECOND 1002

static int connected(void) { return CHECK_OK(raw_connect(name)); }

static void send_number(int link, long number)
{
	int fd = make_memfd(number);
	CHECK_OK(raw_send(link, &WIRE(1, 0), sizeof(struct wire), &fd, 1));
	close(fd);
}

/* Hands over the next signal; the number of the parcel, or 0. */
static long claim(void)
{
	sigset_t set = set_of(S, SIGIO, 0);
	siginfo_t si;
	CHECK(sigtimedwait(&set, &si, &NOW) > 0, "no signal is pending");
	int fd = sendfd_claim(inbox, &si, NULL);
	if (fd == -EAGAIN)
		return 0;
	long number = memfd_number(CHECK_OK(fd));
	close(fd);
	return number;
}

static int accepted(void)
{
	int link = connected();
	CHECK_EQ(claim(), 0);
	return link;
}

/* So that the signal queue can be filled, which is counted per user. */
static void open_as_lonely_user(void)
{
	if (geteuid() == 0)
		become(lonely_uid());
	inbox = open_inbox(S, 0);
	inbox_name(getpid(), S, name, sizeof name);
}

static void come_in_order(int parcels)
{
	bool first = false;
	while (parcels) {
		long number = claim();
		CHECK(number != SECOND || first, "the second came before the first");
		first |= number == FIRST;
		parcels -= number != 0;
	}
	CHECK(first);
	while (pending(S) || pending(SIGIO))
		CHECK_EQ(claim(), 0);
}

/* A place in the queue is left over from a connection whose number the next one gets. */
TEST(a_place_of_a_connection_that_is_gone)
{
	open_as_lonely_user();
	int one = accepted(), gone = accepted(), former = accepted();
	send_number(one, 1);
	send_number(gone, 2);
	send_number(gone, 3);
	close(gone);
	int many = connected(); /* what comes before it is accepted does not signal */
	for (int i = 0; i < 30; i++)
		send_number(many, 100 + i);
	raise(SIGIO); /* as after an overflow: everything is looked at */
	CHECK_EQ(claim(), 1);
	CHECK_EQ(claim(), 2); /* the signal of 1 */
	CHECK_EQ(claim(), 3); /* that of 2: its place stays behind, and the connection is closed */
	for (int i = 0; i < 3; i++)
		CHECK_EQ(claim(), 100 + i); /* those of 3, of the end, and of the new connection */

	send_number(former, FIRST);
	close(former);
	int latter = connected();
	send_number(latter, SECOND);
	come_in_order(27 + 2);
	close(one);
	close(many);
	close(latter);
	sendfd_inbox_close(inbox);
}

/* The look at everything is put off, for there is something due; then a new connection is accepted. */
TEST(a_look_that_is_put_off)
{
	open_as_lonely_user();
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_SIGPENDING, &limit) == 0);
	int former = accepted(), many = connected();
	for (int i = 0; i < 10; i++)
		send_number(many, 100 + i);
	CHECK_EQ(claim(), 100);
	set_limit(RLIMIT_SIGPENDING, 0);
	send_number(former, FIRST); /* no signal of its own */
	close(former);
	CHECK(pending(SIGIO));
	set_limit(RLIMIT_SIGPENDING, limit.rlim_cur);
	int latter = connected();
	send_number(latter, SECOND);
	come_in_order(9 + 2);
	close(many);
	close(latter);
	sendfd_inbox_close(inbox);
}
