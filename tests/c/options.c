/* The options with which an inbox is opened. */
#include "harness.h"

struct later_options {
	sendfd_inbox_options now;
	uint64_t later[2];
};

TEST(options_grow)
{
	sendfd_inbox *inbox = NULL;
	struct later_options later = {.now = {.size = sizeof later, .flags = SENDFD_INBOX_NOSIGNAL, .directory = ""}};
	CHECK_OK(sendfd_inbox_open_with(S, &later.now, &inbox));
	sendfd_inbox_close(inbox);
	later.later[1] = 1;
	CHECK_ERR(sendfd_inbox_open_with(S, &later.now, &inbox), E2BIG);
	later.now.size = sizeof later.now;
	CHECK_OK(sendfd_inbox_open_with(S, &later.now, &inbox));
	sendfd_inbox_close(inbox);
	size_t sizes[] = {0, sizeof(size_t), sizeof later.now - 1};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		later.now.size = sizes[i];
		CHECK_ERR(sendfd_inbox_open_with(S, &later.now, &inbox), EINVAL);
	}
	later.now.size = SIZE_MAX;
	CHECK_ERR(sendfd_inbox_open_with(S, &later.now, &inbox), E2BIG);
}

TEST(nonsense_in_options)
{
	static char path[5000];
	sendfd_inbox *inbox = NULL;
	sendfd_inbox_options good = {.size = sizeof good, .directory = ""}, bad = good;
	uid_t uid = 1;
	CHECK_ERR(sendfd_inbox_open_with(S, NULL, &inbox), EINVAL);
	CHECK_ERR(sendfd_inbox_open_with(S, &good, NULL), EINVAL);
	CHECK_ERR(sendfd_inbox_open_with(SIGUSR1, &good, &inbox), EINVAL);
	bad.flags = 8;
	CHECK_ERR(sendfd_inbox_open_with(S, &bad, &inbox), EINVAL);
	bad = good, bad.nuids = 1;
	CHECK_ERR(sendfd_inbox_open_with(S, &bad, &inbox), EINVAL);
	bad = good, bad.ngids = 1;
	CHECK_ERR(sendfd_inbox_open_with(S, &bad, &inbox), EINVAL);
	bad = good, bad.uids = &uid, bad.nuids = 65537;
	CHECK_ERR(sendfd_inbox_open_with(S, &bad, &inbox), EINVAL);
	memset(path, 'x', sizeof path - 1);
	bad = good, bad.directory = path;
	CHECK_ERR(sendfd_inbox_open_with(S, &bad, &inbox), ENAMETOOLONG);
	CHECK(inbox == NULL);
}
