/* Guests, receivers and root in user namespaces, where some users have no number. */
#include "guest.h"

#include <sched.h>
#include <sys/prctl.h>

TEST(nobody_is_invited_by_a_number_that_is_nobodys)
{
	sendfd_inbox_options options = {.size = sizeof options};
	sendfd_inbox *inbox = NULL;
	uid_t ids[] = {65534, (uid_t)-1};
	for (size_t i = 0; i < 2; i++) {
		options.uids = &ids[i], options.nuids = 1, options.gids = NULL, options.ngids = 0;
		CHECK_ERR(sendfd_inbox_open_with(S, &options, &inbox), EINVAL);
		options.gids = &ids[i], options.ngids = 1, options.uids = NULL, options.nuids = 0;
		CHECK_ERR(sendfd_inbox_open_with(S, &options, &inbox), EINVAL);
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
	close(fd);
}

/* In a user namespace of its own, where only its own user has a number: 0. */
static void enter_user_namespace(void)
{
	char map[64];
	snprintf(map, sizeof map, "0 %u 1", (unsigned)geteuid());
	CHECK(unshare(CLONE_NEWUSER) == 0);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
}

static void sends_from_a_user_namespace(void *arg)
{
	become(*(uid_t *)arg);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	enter_user_namespace();
	CHECK_OK(send_number(7, 10000));
}

TEST_NEEDS(from_a_user_namespace, ROOT | USER_NAMESPACE)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_from_a_user_namespace, &guest);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 7);
	CHECK_EQ(info.uid, guest);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

/* Its guests are, as it sees them: everybody, or user 0 and 1, who are nobody but itself. */
static void receives_in_a_user_namespace(void *arg)
{
	become(lonely_uid());
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	enter_user_namespace();
	bool everybody = *(bool *)arg;
	sendfd_inbox *inbox = everybody ? open_inbox(S, SENDFD_INBOX_ANYONE)
					: open_to((uid_t[]){0, 1}, 2, (gid_t[]){0, 1}, 2, 0);
	parent_tell(1);
	if (everybody) {
		sendfd_info info;
		take_number(recv_soon(inbox, &info), 7);
		CHECK_EQ(info.uid, 65534);
	} else {
		CHECK_ERR(sendfd_recv(inbox, NULL, (struct timespec[]){in_ms(10000)}), EBADF);
	}
	sendfd_inbox_close(inbox);
}

static void root_sends(void *arg)
{
	(void)arg;
	CHECK_OK(send_number(7, 10000));
}

TEST_NEEDS(root_without_a_number_there, ROOT | USER_NAMESPACE)
{
	bool everybody = true;
	struct child receiving = fork_child(receives_in_a_user_namespace, &everybody);
	child_hear(&receiving);
	receiver = receiving.pid;
	struct child child = fork_child(root_sends, NULL);
	child_join(&child);
	child_join(&receiving);
}

static void root_is_turned_away(void *arg)
{
	(void)arg;
	CHECK_ERR(send_number(7, 10000), EPERM);
}

TEST_NEEDS(who_has_no_number_is_no_named_guest, ROOT | USER_NAMESPACE)
{
	bool everybody = false;
	struct child receiving = fork_child(receives_in_a_user_namespace, &everybody);
	child_hear(&receiving);
	receiver = receiving.pid;
	struct child child = fork_child(root_is_turned_away, NULL);
	child_join(&child);
	child_kill(&receiving);
}
