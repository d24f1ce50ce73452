/* Errors that stand in front of a parcel for one call: it is there behind them. */
#include "harness.h"

static int look_error, take_error; /* errno of the next looks, or of the next that takes */
static int failures;

static bool fails(int error)
{
	if (error == 0 || failures == 0)
		return false;
	failures--;
	errno = error;
	return true;
}

/* The library finds these in the place of those of the C library. */
ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	return fails(look_error) ? -1 : syscall(SYS_recvmsg, socket, message, flags);
}

ssize_t recv(int socket, void *bytes, size_t len, int flags)
{
	return fails(take_error) ? -1 : syscall(SYS_recvfrom, socket, bytes, len, flags, NULL, NULL);
}

/* One of them is passed over; what is no error of that kind is told, and the parcel stays. */
static void in_front_of_a_parcel(int *error)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		static const int passing[] = {ECONNRESET, EINTR};
		sendfd_inbox *inbox = open_inbox(S, flags);
		send_memfd(getpid(), 1);
		expect_number(inbox, 1); /* the link is accepted */
		for (size_t i = 0; i < 2; i++) {
			send_memfd(getpid(), 2);
			*error = passing[i];
			failures = 1;
			take_number(CHECK_OK(sendfd_recv(inbox, NULL, &NOW)), 2);
			CHECK_EQ(failures, 0);
		}
		send_memfd(getpid(), 3);
		*error = ENOMEM;
		failures = 1;
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), ENOMEM);
		CHECK_EQ(failures, 0);
		take_number(CHECK_OK(sendfd_recv(inbox, NULL, &NOW)), 3);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

TEST(in_front_of_a_look) { in_front_of_a_parcel(&look_error); }
TEST(between_the_look_and_the_taking) { in_front_of_a_parcel(&take_error); }

/* It is the link's end, and not looked at for ever. */
TEST(a_reset_that_does_not_pass)
{
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		send_memfd(getpid(), 1);
		expect_number(inbox, 1);
		send_memfd(getpid(), 2);
		look_error = ECONNRESET;
		failures = 2;
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
		CHECK_EQ(failures, 0);
		send_memfd(getpid(), 3); /* over another link */
		take_number(CHECK_OK(sendfd_recv(inbox, NULL, &NOW)), 3);
		sendfd_inbox_close(inbox);
	}
}
