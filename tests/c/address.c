/* Addresses: text that names an inbox without the pid of its owner. */
#include "harness.h"

#include <sched.h>

static char address[SENDFD_ADDRESS_MAX];

static void send_to_address(const char *to, long number)
{
	sendfd_outbox *outbox = NULL;
	int fd = make_memfd(number);
	CHECK_OK(sendfd_outbox_open_address(to, &NOW, &outbox));
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	close(fd);
	sendfd_outbox_close(outbox);
}

static int open_by(const char *to)
{
	sendfd_outbox *outbox = NULL;
	int result = sendfd_outbox_open_address(to, &NOW, &outbox);
	CHECK((result == 0) == (outbox != NULL));
	sendfd_outbox_close(outbox);
	return result;
}

/* Opens an inbox and tells its address; takes the parcel with number 7, if it is told that one comes. */
static void receiver(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, *(unsigned *)arg);
	char text[SENDFD_ADDRESS_MAX] = "";
	long parts[SENDFD_ADDRESS_MAX / sizeof(long)];
	CHECK(sendfd_inbox_address(inbox, text, sizeof text) > 0);
	memcpy(parts, text, sizeof text);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		parent_tell(parts[i]);
	if (parent_hear())
		expect_number(inbox, 7);
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

static struct child start(unsigned flags)
{
	static unsigned kind;
	kind = flags;
	struct child child = fork_child(receiver, &kind);
	long parts[SENDFD_ADDRESS_MAX / sizeof(long)];
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		parts[i] = child_hear(&child);
	memcpy(address, parts, sizeof address);
	return child;
}

static const unsigned KINDS[] = {0, SENDFD_INBOX_NOSIGNAL, SENDFD_INBOX_THREAD,
				 SENDFD_INBOX_THREAD | SENDFD_INBOX_NOSIGNAL};

TEST(the_address_is_the_name)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	char name[108], text[SENDFD_ADDRESS_MAX + 8], cut[6] = "xxxxx";
	inbox_name(getpid(), S, name, sizeof name);
	memset(text, 'x', sizeof text);
	int len = sendfd_inbox_address(inbox, text, sizeof text);
	CHECK_EQ(len, strlen(name));
	CHECK(strcmp(text, name) == 0, "%s, not %s", text, name);
	CHECK_EQ(sendfd_inbox_address(inbox, NULL, 0), len);
	CHECK_EQ(sendfd_inbox_address(inbox, cut, sizeof cut - 1), len);
	CHECK(memcmp(cut, "send", 5) == 0 && cut[5] == '\0');
	CHECK_EQ(sendfd_inbox_address(inbox, text, 1), len);
	CHECK(text[0] == '\0' && text[1] == 'e');
	CHECK_ERR(sendfd_inbox_address(NULL, text, sizeof text), EINVAL);
	CHECK_ERR(sendfd_inbox_address(inbox, NULL, 1), EINVAL);
	CHECK_OK(sendfd_inbox_shutdown(inbox));
	CHECK_EQ(sendfd_inbox_address(inbox, text, sizeof text), len);
	sendfd_inbox_close(inbox);
}

static void has_no_address(void *arg)
{
	CHECK_ERR(sendfd_inbox_address(arg, address, sizeof address), EPERM);
	sendfd_inbox_close(arg);
}

TEST(an_inherited_inbox_has_no_address)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	struct child child = fork_child(has_no_address, inbox);
	child_join(&child);
	sendfd_inbox_close(inbox);
}

TEST(nonsense_is_no_address)
{
	static const char *const nonsense[] = {
		"", "50", "sendfd.1", "sendfd.1/", "sendfd.1/7", "sendfd.1/7/", "sendfd.1/7/9", "sendfd.1/7/50x",
		"sendfd.2/7/50", "sendfd.1/-7/50", "sendfd.1/07/50", "sendfd.1//50", "sendfd.1/7.0x1/50", "/sendfd.1/7/50",
		"sendfd.1/99999999999999999999/50", "\xff\xfe",
		"sendfd.1/00000000000000000000000000000000000000000000000000000000000007/50"};
	sendfd_outbox *outbox = NULL;
	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
		CHECK_ERR(open_by(nonsense[i]), EINVAL);
	CHECK_ERR(sendfd_outbox_open_address(NULL, &NOW, &outbox), EINVAL);
	CHECK_ERR(sendfd_outbox_open_address("sendfd.1/7/50", &NOW, NULL), EINVAL);
	CHECK_ERR(sendfd_outbox_open_address("sendfd.1/7/50", &(struct timespec){-1, 0}, &outbox), EINVAL);
}

TEST(to_each_kind_of_inbox)
{
	for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
		struct child child = start(KINDS[i]);
		send_to_address(address, 7);
		child_tell(&child, 1);
		child_join(&child);
	}
}

struct thread_inbox {
	sendfd_inbox *inbox;
	int ready[2];
};

static void *opens_and_waits(void *arg)
{
	struct thread_inbox *this = arg;
	char byte = 0;
	this->inbox = open_inbox(S, SENDFD_INBOX_THREAD);
	CHECK(sendfd_inbox_address(this->inbox, address, sizeof address) > 0);
	CHECK(write(this->ready[1], &byte, 1) == 1);
	expect_number(this->inbox, 7);
	sendfd_inbox_close(this->inbox);
	return NULL;
}

/* The kernel tells of a listener's process alone, so its threads are looked through. */
TEST_NEEDS(to_a_thread_that_is_not_the_first, PIDFS)
{
	struct thread_inbox this;
	char byte;
	CHECK(pipe2(this.ready, O_CLOEXEC) == 0);
	pthread_t thread = thread_start(opens_and_waits, &this);
	CHECK(read(this.ready[0], &byte, 1) == 1);
	send_to_address(address, 7);
	thread_join(thread);
	close(this.ready[0]);
	close(this.ready[1]);
}

TEST(an_inbox_that_is_gone)
{
	struct child child = start(0);
	int living = have_pidfd() ? ECONNREFUSED : EOPNOTSUPP;
	child_tell(&child, 0);
	child_join(&child);
	int result = open_by(address);
	CHECK(result == -living || result == -EOPNOTSUPP, "%s", errno_name(-result));
}

/* Whoever takes the name gets nothing: the inode is another one's. */
TEST_NEEDS(a_squatter_on_an_address_gets_nothing, PIDFS)
{
	struct child child = start(0);
	child_tell(&child, 0);
	child_join(&child);
	int listener = CHECK_OK(raw_listen(address));
	CHECK_ERR(open_by(address), ECONNREFUSED);
	struct timespec limit = in_ms(100);
	sendfd_outbox *outbox = NULL;
	CHECK_ERR(sendfd_outbox_open_address(address, &limit, &outbox), ETIMEDOUT);
	close(listener);
}

static void sends_by_address(void *arg)
{
	if (*(uid_t *)arg)
		become(*(uid_t *)arg);
	int result = open_by(address);
	if (result == 0)
		send_to_address(address, 7);
	parent_tell(result);
}

TEST_NEEDS(users_decide, ROOT)
{
	uid_t root = 0, user = lonely_uid();
	struct child child = start(0), sender = fork_child(sends_by_address, &user);
	CHECK_EQ(child_hear(&sender), -EPERM);
	child_join(&sender);
	sender = fork_child(sends_by_address, &root);
	CHECK_EQ(child_hear(&sender), 0);
	child_tell(&child, 1);
	child_join(&sender);
	child_join(&child);
}

/* Enters a pid namespace, in which the receiver has no number, and sends from there. */
static void sends_from_a_pid_namespace(void *arg)
{
	uid_t user = *(uid_t *)arg;
	CHECK(unshare(CLONE_NEWPID) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		limit_time(20);
		sends_by_address(&user);
		_exit(0);
	}
	CHECK(exited_well(pid));
}

TEST_NEEDS(to_who_is_not_visible, ROOT | PIDFS | PID_NAMESPACE)
{
	uid_t root = 0, user = lonely_uid();
	struct child child = start(SENDFD_INBOX_NOSIGNAL), sender = fork_child(sends_from_a_pid_namespace, &user);
	CHECK_EQ(child_hear(&sender), -EPERM);
	child_join(&sender);
	sender = fork_child(sends_from_a_pid_namespace, &root);
	CHECK_EQ(child_hear(&sender), 0);
	child_tell(&child, 1);
	child_join(&sender);
	child_join(&child);
}
