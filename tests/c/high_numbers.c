/* Descriptors of the library with high numbers, of which it keeps account as of others. */
#include "harness.h"

enum { ALL = 9000, LIFTED = 1024 }; /* the account is kept in parts of 4,096 */

static int hoard[ALL], hoarded;

static void hoard_up_to(int number)
{
	for (int fd = 0; fd < number - 1;) {
		CHECK((fd = fcntl(2, F_DUPFD_CLOEXEC, LIFTED)) >= 0);
		hoard[hoarded++] = fd;
	}
}

static int open_now(int from)
{
	int count = 0;
	for (int fd = from; fd < ALL; fd++)
		count += is_open(fd);
	return count;
}

/* They are closed in a child, and nothing else is. */
TEST_LIMIT(a_child_closes_what_has_a_high_number, 60)
{
	static const int froms[] = {4094, 4096, 8190, 8192};
	need_limit(RLIMIT_NOFILE, ALL);
	for (int i = 0; i < 4; i++) {
		hoard_up_to(froms[i]);
		CHECK_EQ(open_now(froms[i]), 0);
		sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
		CHECK_OK(sendfd(getpid(), S, 2));
		close(recv_soon(inbox, NULL));
		CHECK(open_now(froms[i]) >= 4, "%d", open_now(froms[i]));
		for (int raw = 0; raw < 2; raw++) {
			pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
			CHECK(pid >= 0);
			if (pid == 0) {
				CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EPERM);
				CHECK_EQ(open_now(froms[i]), 0);
				for (int one = 0; one < hoarded; one++)
					CHECK(is_open(hoard[one]));
				_exit(0);
			}
			CHECK(exited_well(pid));
		}
		CHECK_OK(sendfd(getpid(), S, 2));
		close(recv_soon(inbox, NULL));
		sendfd_inbox_close(inbox);
		forget_dead_links();
	}
	while (hoarded)
		close(hoard[--hoarded]);
}
