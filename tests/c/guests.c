/* Guests: users, groups, or anyone, whom a receiver lets in beside root and its own user. */
#include "harness.h"

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

static pid_t receiver;
static uid_t guest;     /* invited by its number, where somebody is */
static gid_t group;     /* likewise */
static char address[SENDFD_ADDRESS_MAX];

static sendfd_inbox *open_to(const uid_t *uids, size_t nuids, const gid_t *gids, size_t ngids, unsigned flags)
{
	sendfd_inbox_options options = {.size = sizeof options, .flags = flags, .directory = ""};
	options.uids = uids, options.nuids = nuids, options.gids = gids, options.ngids = ngids;
	sendfd_inbox *inbox = NULL;
	CHECK_OK(sendfd_inbox_open_with(S, &options, &inbox));
	CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
	receiver = getpid();
	return inbox;
}

static sendfd_inbox *open_to_guest(unsigned flags)
{
	guest = lonely_uid();
	return open_to((uid_t[]){1, guest, 2}, 3, NULL, 0, flags);
}

static int send_number(long number, long ms)
{
	struct timespec limit = in_ms(ms);
	int fd = make_memfd(number), sent = sendfds(receiver, S, &fd, 1, NULL, 0, &limit);
	close(fd);
	return sent;
}

static void become_member(uid_t uid, gid_t effective, gid_t supplementary)
{
	CHECK(setgroups(1, &supplementary) == 0 && setresgid(effective, effective, effective) == 0);
	CHECK(setresuid(uid, uid, uid) == 0);
}

static const unsigned KINDS[] = {0, SENDFD_INBOX_NOSIGNAL};

#define FOR_BOTH_KINDS(kind) for (size_t kind = 0; kind < sizeof KINDS / sizeof *KINDS; kind++)

/* --- who is let in ------------------------------------------------------------------------------ */
static void sends_as_guest(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_OK(send_number(7, 10000));
	CHECK_OK(send_number(8, 0));
}

TEST_NEEDS(a_user_by_number, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(sends_as_guest, &guest);
		sendfd_info info;
		take_number(recv_soon(inbox, &info), 7);
		CHECK_EQ(info.uid, guest);
		CHECK_EQ(info.pid, child.pid);
		expect_number(inbox, 8);
		child_join(&child);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

static void is_turned_away(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_ERR(send_number(7, 10000), EPERM);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_ERR(sendfd_outbox_open(receiver, S, &limit, &outbox), EPERM);
	CHECK_ERR(sendfd_outbox_open_address(address, &limit, &outbox), EPERM);
	parent_tell(1);
}

/* Looks for mail until the child has something to tell. */
static void look_while(sendfd_inbox *inbox, struct child *child)
{
	struct timespec moment = in_ms(5);
	while (!readable(child->from)) {
		int fd = sendfd_recv(inbox, NULL, &moment);
		CHECK(fd == -ETIMEDOUT, "%d", fd);
	}
	child_hear(child);
}

TEST_NEEDS(another_user_is_turned_away, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		uid_t other = guest + 1;
		struct child child = fork_child(is_turned_away, &other);
		look_while(inbox, &child);
		child_join(&child);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

static void member_sends(void *arg)
{
	gid_t *groups = arg;
	become_member(lonely_uid(), groups[0], groups[1]);
	CHECK_OK(send_number(7, 10000));
}

static void member_is_turned_away(void *arg)
{
	gid_t *groups = arg;
	become_member(lonely_uid(), groups[0], groups[1]);
	CHECK_ERR(send_number(7, 10000), EPERM);
	parent_tell(1);
}

TEST_NEEDS(a_group_by_number, ROOT)
{
	group = lonely_uid();
	sendfd_inbox *inbox = open_to(NULL, 0, (gid_t[]){group, 3}, 2, 0);
	gid_t members[][2] = {{group, 77}, {77, group}}, others[] = {77, 78};
	for (size_t i = 0; i < 2; i++) {
		struct child child = fork_child(member_sends, members[i]);
		expect_number(inbox, 7);
		child_join(&child);
	}
	struct child child = fork_child(member_is_turned_away, others);
	look_while(inbox, &child);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void member_of_hundreds(void *arg)
{
	gid_t groups[300];
	(void)arg;
	for (gid_t i = 0; i < 300; i++)
		groups[i] = 5000 + i;
	groups[299] = group;
	CHECK(setgroups(300, groups) == 0 && setresgid(77, 77, 77) == 0);
	uid_t uid = lonely_uid();
	CHECK(setresuid(uid, uid, uid) == 0);
	CHECK_OK(send_number(7, 10000));
}

TEST_NEEDS(one_group_of_hundreds, ROOT)
{
	group = lonely_uid();
	sendfd_inbox *inbox = open_to(NULL, 0, &group, 1, 0);
	struct child child = fork_child(member_of_hundreds, NULL);
	expect_number(inbox, 7);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

TEST_NEEDS(anyone, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_inbox(S, KINDS[kind] | SENDFD_INBOX_ANYONE);
		receiver = getpid();
		guest = lonely_uid();
		struct child child = fork_child(sends_as_guest, &guest);
		expect_number(inbox, 7);
		expect_number(inbox, 8);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

/* --- the first send ----------------------------------------------------------------------------- */
static void sends_without_waiting(void *arg)
{
	become(*(uid_t *)arg);
	for (int i = 0; i < 3; i++)
		CHECK_ERR(send_number(7, 0), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_OK(send_number(7, 0));
	CHECK_OK(send_number(8, 0));
}

static void is_turned_away_without_waiting(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_ERR(send_number(7, 0), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_number(7, 0), EPERM);
	CHECK_ERR(send_number(7, 0), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_number(7, 0), EPERM);
}

TEST_NEEDS(until_it_is_let_in_a_first_send_gives_eagain, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(sends_without_waiting, &guest);
		child_hear(&child);
		CHECK(readable(sendfd_inbox_fileno(inbox)));
		CHECK(KINDS[kind] != 0 || pending(S));
		expect_empty(inbox);
		child_tell(&child, 1);
		expect_number(inbox, 7);
		expect_number(inbox, 8);
		child_join(&child);
		sendfd_inbox_close(inbox);
	}
}

TEST_NEEDS(who_is_turned_away_learns_it_at_the_next_send, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	uid_t other = guest + 1;
	struct child child = fork_child(is_turned_away_without_waiting, &other);
	for (int i = 0; i < 2; i++) {
		child_hear(&child);
		expect_empty(inbox);
		child_tell(&child, 1);
	}
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void waits_in_vain(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_TIMES_OUT(send_number(7, 100), 100);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(100);
	CHECK_TIMES_OUT(sendfd_outbox_open(receiver, S, &limit, &outbox), 100);
}

TEST_NEEDS(nobody_looks, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(waits_in_vain, &guest);
	child_join(&child);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static void waits_for_one_who_goes(void *arg)
{
	become(*(uid_t *)arg);
	parent_tell(1);
	int sent = send_number(7, 10000);
	CHECK(sent == -ESRCH || sent == -EPERM, "%s", errno_name(-sent)); /* there is no inbox, or no task */
}

static void goes(void *arg)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(waits_for_one_who_goes, &guest);
	child_hear(&child);
	while (!readable(sendfd_inbox_fileno(inbox)))
		sched_yield();
	if (arg)
		_exit(0);
	sendfd_inbox_close(inbox);
	child_join(&child);
}

TEST_NEEDS(the_receiver_closes_before_it_looks, ROOT) { goes(NULL); }

static void dies(void *arg)
{
	(void)arg;
	sendfd_inbox *inbox = open_to_guest(0);
	parent_tell(guest);
	parent_hear();
	while (!readable(sendfd_inbox_fileno(inbox)))
		sched_yield();
	_exit(0);
}

TEST_NEEDS(the_receiver_dies_before_it_looks, ROOT)
{
	struct child dying = fork_child(dies, NULL);
	guest = (uid_t)child_hear(&dying);
	receiver = dying.pid;
	struct child child = fork_child(waits_for_one_who_goes, &guest);
	child_hear(&child);
	child_tell(&dying, 1);
	child_join(&dying);
	child_join(&child);
}

/* --- everything that a sender can do ------------------------------------------------------------ */
static void uses_an_outbox(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	char text[8];
	sendfd_info info;
	int fd = make_memfd(7), back;
	CHECK_OK(sendfd_outbox_open(receiver, S, &limit, &outbox));
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &limit));
	CHECK_EQ(sendfd_outbox_request(outbox, NULL, 0, "ask", 3, &back, 1, text, sizeof text, &info, &limit), 1);
	CHECK_EQ(info.pid, receiver);
	take_number(back, 9);
	sendfd_outbox_close(outbox);
	/* Without a wait: the first send is what has to be let in. */
	parent_hear();
	CHECK_OK(sendfd_outbox_open_address(address, &NOW, &outbox));
	CHECK_ERR(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW), EAGAIN);
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &NOW));
	parent_tell(1);
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &limit));
	CHECK_OK(sendfd_outbox_wait_taken(outbox, &limit));
	sendfd_outbox_close(outbox);
	CHECK_OK(sendfd_outbox_open(receiver, S, &limit, &outbox));
	parent_tell(1);
	parent_hear();
	CHECK_ERR(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &limit), EPIPE);
	sendfd_outbox_close(outbox);
	close(fd);
}

TEST_NEEDS(outboxes_and_requests, ROOT)
{
	FOR_BOTH_KINDS (kind) {
		sendfd_inbox *inbox = open_to_guest(KINDS[kind]);
		struct child child = fork_child(uses_an_outbox, &guest);
		expect_number(inbox, 7);
		sendfd_info info;
		char text[8];
		struct timespec limit = in_ms(10000);
		CHECK_EQ(sendfd_recvs(inbox, NULL, 0, text, sizeof text, &info, &limit), 0);
		CHECK(info.len == 3 && memcmp(text, "ask", 3) == 0 && info.reply >= 0);
		int fd = make_memfd(9);
		CHECK_OK(sendfd_reply(info.reply, &fd, 1, NULL, 0));
		close(fd);
		close(info.reply);
		child_tell(&child, 1);
		child_hear(&child);
		expect_number(inbox, 7);
		look_while(inbox, &child);
		sendfd_inbox_close(inbox);
		child_tell(&child, 1);
		child_join(&child);
	}
}

static void outbox_is_turned_away(void *arg)
{
	become(*(uid_t *)arg);
	sendfd_outbox *outbox = NULL;
	struct timespec limit = in_ms(10000);
	CHECK_OK(sendfd_outbox_open(receiver, S, &NOW, &outbox));
	parent_tell(1);
	for (int i = 0; i < 2; i++)
		CHECK_ERR(sendfd_outbox_send(outbox, NULL, 0, "x", 1, &limit), EPERM);
	sendfd_outbox_close(outbox);
	parent_tell(1);
}

TEST_NEEDS(an_outbox_that_did_not_wait_is_turned_away, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	uid_t other = guest + 1;
	struct child child = fork_child(outbox_is_turned_away, &other);
	child_hear(&child);
	look_while(inbox, &child);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void sends_by_pidfd(void *arg)
{
	int pidfd = my_pidfd_open(receiver), fd = make_memfd(7);
	become(*(uid_t *)arg);
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* as a process that always had this user */
	CHECK_ERR(sendfd_pidfd(pidfd, S, fd), EAGAIN);
	parent_tell(1);
	parent_hear();
	CHECK_OK(sendfd_pidfd(pidfd, S, fd));
	CHECK_OK(sendfd(receiver, S, fd)); /* over the same connection */
	close(fd);
	close(pidfd);
}

TEST_NEEDS(by_pidfd, ROOT | PIDFD)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_by_pidfd, &guest);
	child_hear(&child);
	expect_empty(inbox);
	child_tell(&child, 1);
	expect_number(inbox, 7);
	expect_number(inbox, 7);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void *receives_in_a_thread(void *arg)
{
	sendfd_inbox *inbox = open_to_guest(SENDFD_INBOX_THREAD | *(unsigned *)arg);
	receiver = (pid_t)syscall(SYS_gettid);
	struct child child = fork_child(sends_as_guest, &guest);
	expect_number(inbox, 7);
	expect_number(inbox, 8);
	child_join(&child);
	sendfd_inbox_close(inbox);
	return NULL;
}

TEST_NEEDS(to_a_thread, ROOT)
{
	FOR_BOTH_KINDS (kind)
		thread_join(thread_start(receives_in_a_thread, (void *)&KINDS[kind]));
}

static void sends_again(void *arg)
{
	(void)arg;
	CHECK_OK(send_number(8, 10000));
}

static void sends_and_so_does_its_child(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_OK(send_number(7, 10000));
	struct child child = fork_child(sends_again, NULL);
	child_join(&child);
}

TEST_NEEDS(a_child_of_a_guest_is_let_in_by_itself, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_and_so_does_its_child, &guest);
	sendfd_info info;
	take_number(recv_soon(inbox, &info), 7);
	CHECK_EQ(info.pid, child.pid);
	take_number(recv_soon(inbox, &info), 8);
	CHECK(info.pid != child.pid);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

static void counts_its_calls(void)
{
	become(guest);
	int fd = make_memfd(7);
	CHECK_OK(send_number(7, 10000));
	be_traced();
	CHECK_OK(sendfd(receiver, S, fd));
	mark();
	for (int i = 0; i < 10; i++)
		CHECK_OK(sendfd(receiver, S, fd));
	mark();
	_exit(0);
}

TEST_NEEDS(a_send_of_a_guest_is_one_call, ROOT | PTRACE)
{
	long sends = 0, others = 1;
	/* A machine under load may stop it so long that it looks at its connection first. */
	for (int attempt = 0; attempt < 5 && others; attempt++) {
		sendfd_inbox *inbox = open_to_guest(SENDFD_INBOX_NOSIGNAL);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			counts_its_calls();
		expect_number(inbox, 7);
		sends = trace_calls(pid, SYS_sendmsg, &others);
		sendfd_inbox_close(inbox);
	}
	CHECK_EQ(sends, 10);
	CHECK_EQ(others, 0);
}

/* --- permission that is taken away -------------------------------------------------------------- */
static void sends_until_it_may_not(void *arg)
{
	become(*(uid_t *)arg);
	CHECK_OK(send_number(7, 10000));
	parent_tell(1);
	parent_hear();
	CHECK_ERR(send_number(8, 10000), EPERM);
}

TEST_NEEDS(opened_anew_without_the_guest, ROOT)
{
	sendfd_inbox *inbox = open_to_guest(0);
	struct child child = fork_child(sends_until_it_may_not, &guest);
	expect_number(inbox, 7);
	child_hear(&child);
	sendfd_inbox_close(inbox);
	inbox = open_inbox(S, 0);
	child_tell(&child, 1);
	child_join(&child);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

/* --- users who have no number ------------------------------------------------------------------- */
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

/* --- options ------------------------------------------------------------------------------------ */
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
