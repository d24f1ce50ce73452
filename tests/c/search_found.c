/* A sender that looks for an inbox in the root of a container, and where it is found. */
#include "container.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static pid_t target;

static void overlay(void)
{
	CHECK(mkdir("/mnt/lower", 0755) == 0 && mkdir("/mnt/upper", 0755) == 0 && mkdir("/mnt/work", 0755) == 0);
	if (mount("none", "/run/sendfd", "overlay", 0, "lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work") != 0)
		SKIP("overlay: %s", errno_name(errno));
}

static const char *listens_in;
static void (*made)(void);

static void is_honest(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && mkdir("/run/sendfd", 01777) == 0);
	if (made)
		made();
	CHECK(setenv("SENDFD_DIR", listens_in, 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void check_found(const char *directory, void (*make)(void))
{
	listens_in = directory;
	made = make;
	fresh_directories();
	struct child container = fork_child(is_honest, NULL);
	child_hear(&container);
	CHECK_EQ(try_at_once(container.pid), 0);
	child_tell(&container, 0);
	child_join(&container);
}

static void elsewhere_by_a_link(void)
{
	CHECK(mkdir("/mnt/sockets", 0755) == 0);
	link_directory("/mnt/sockets");
}
static void elsewhere_by_a_relative_link(void)
{
	CHECK(mkdir("/mnt/sockets", 0755) == 0);
	link_directory("../mnt/sockets");
}

TEST_NEEDS(found_in_run_sendfd, NEEDS) { check_found("/run/sendfd", NULL); }
TEST_NEEDS(found_in_dev_shm, NEEDS) { check_found("/dev/shm", NULL); }
TEST_NEEDS(found_by_a_link_that_stays_inside, NEEDS) { check_found("/run/sendfd", elsewhere_by_a_link); }
TEST_NEEDS(found_by_a_relative_link, NEEDS) { check_found("/run/sendfd", elsewhere_by_a_relative_link); }
TEST_NEEDS(found_on_an_overlay, NEEDS) { check_found("/run/sendfd", overlay); }

/* In its own root, by a plain user, of a container in which there is nothing but its own. */
static void user_in_a_container(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0);
	become(*(uid_t *)arg);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	CHECK(setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
}

static void user_sends(void *arg)
{
	become(*(uid_t *)arg);
	int fd = make_memfd(8);
	parent_tell(sendfd(target, S, fd));
	close(fd);
}

TEST_NEEDS(found_by_a_plain_user, NEEDS)
{
	uid_t user = lonely_uid();
	fresh_directories();
	struct child container = fork_child(user_in_a_container, &user);
	target = container.pid;
	child_hear(&container);
	struct child sender = fork_child(user_sends, &user);
	CHECK_EQ(child_hear(&sender), 0);
	child_join(&sender);
	child_tell(&container, 0);
	child_join(&container);
}

/* From inside, without a right to look at the receiver's root, by a directory that both have. */
static void sends_from_inside(void *arg)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	have_only(1 << CAP_KILL);
	char root[64];
	snprintf(root, sizeof root, "/proc/%d/root/run", target);
	CHECK(access(root, F_OK) < 0 && errno == EACCES);
	parent_tell(send_among_many(target, 8));
	(void)arg;
}

static void on_the_host(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	(void)arg;
}

TEST_NEEDS(found_in_ones_own_root_where_the_other_is_closed, NEEDS)
{
	fresh_directories();
	CHECK(mkdir("/run/sendfd", 0755) == 0);
	struct child receiver = fork_child(on_the_host, NULL);
	target = receiver.pid;
	child_hear(&receiver);
	struct child sender = fork_child(sends_from_inside, NULL);
	CHECK_EQ(child_hear(&sender), 0);
	child_join(&sender);
	child_tell(&receiver, 0);
	child_join(&receiver);
}

static void *goes_on_alone(void *arg)
{
	(void)arg;
	/* until the first thread is a zombie */
	while (state_of(getpid()) != 'Z')
		sched_yield();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	parent_hear();
	expect_number(inbox, 8);
	sendfd_inbox_close(inbox);
	_exit(0);
}

static void first_thread_ends(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	(void)arg;
	thread_start(goes_on_alone, NULL);
	pthread_exit(NULL);
}

TEST_NEEDS(found_though_the_first_thread_has_ended, NEEDS)
{
	fresh_directories();
	struct child container = fork_child(first_thread_ends, NULL);
	child_hear(&container);
	CHECK_EQ(try_at_once(container.pid), 0);
	child_tell(&container, 0);
	child_join(&container);
}

static void changes_its_root(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && setenv("SENDFD_DIR", "/dev/shm", 1) == 0);
	CHECK(mkdir("/mnt/dev", 0755) == 0 && mkdir("/mnt/dev/shm", 0755) == 0);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	CHECK(chroot("/mnt") == 0 && chdir("/") == 0);
	parent_tell(0);
	parent_hear();
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
	(void)arg;
}

TEST_NEEDS(not_found_after_a_change_of_root, NEEDS)
{
	fresh_directories();
	struct child container = fork_child(changes_its_root, NULL);
	child_hear(&container);
	CHECK_EQ(try_at_once(container.pid), -ECONNREFUSED);
	child_tell(&container, 0);
	child_join(&container);
}
