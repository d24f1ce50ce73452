/* What SECURITY.md advises a user to do, and what it helps. */
#include "harness.h"

#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>

static pid_t target;
static char name[64];

/* --- squatters ------------------------------------------------------------------------------------ */
static void squats(void *arg)
{
	if (*(bool *)arg)
		CHECK(unshare(CLONE_NEWNET) == 0);
	int listener = raw_listen(name);
	CHECK(listener >= 0, "%s", errno_name(-listener));
	parent_tell(0);
	parent_hear();
}

static struct child squat(bool elsewhere)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	inbox_name(getpid(), S, name, sizeof name);
	sendfd_inbox_close(inbox);
	struct child squatter = fork_child(squats, &elsewhere);
	child_hear(&squatter);
	return squatter;
}

static void open_and_receive(int sig)
{
	sendfd_inbox *inbox = open_inbox(sig, 0);
	int fd = make_memfd(4);
	CHECK_OK(sendfd(getpid(), sig, fd));
	close(fd);
	expect_number(inbox, 4);
	sendfd_inbox_close(inbox);
}

TEST(another_number_is_free_of_the_squatter)
{
	struct child squatter = squat(false);
	sendfd_inbox *none = NULL;
	CHECK_ERR(sendfd_inbox_open(S, 0, &none), EADDRINUSE);
	open_and_receive(S + 1);
	child_tell(&squatter, 0);
	child_join(&squatter);
	open_and_receive(S);
}

TEST_NEEDS(a_squatter_in_another_network_namespace, NET_NAMESPACE)
{
	struct child squatter = squat(true);
	open_and_receive(S);
	child_tell(&squatter, 0);
	child_join(&squatter);
}

static void plain_squatter(void *arg)
{
	become(lonely_uid());
	squats(arg);
}

/* An open inbox cannot be taken over, by whomever. */
TEST_NEEDS(who_opens_first_keeps_the_name, ROOT)
{
	bool elsewhere = false;
	sendfd_inbox *inbox = open_inbox(S, 0);
	inbox_name(getpid(), S, name, sizeof name);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, name, strlen(name));
	int other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	CHECK(bind(other, (struct sockaddr *)&address, length) < 0 && errno == EADDRINUSE);
	close(other);
	sendfd_inbox_close(inbox);
	struct child squatter = fork_child(plain_squatter, &elsewhere);
	child_hear(&squatter); /* any user may */
	sendfd_inbox *none = NULL;
	CHECK_ERR(sendfd_inbox_open(S, 0, &none), EADDRINUSE);
	child_kill(&squatter);
	open_and_receive(S); /* its end gives the name back */
}

/* --- what a sender can do to a descriptor that it has sent ------------------------------------------ */
static void meddles(void *arg)
{
	const int *pair = arg;
	int file = make_memfd(9), both[] = {file, pair[0]};
	CHECK(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK_OK(sendfds(target, S, both, 2, NULL, 0, &NOW));
	parent_tell(0);
	parent_hear();
	CHECK(lseek(file, 1000, SEEK_SET) == 1000 && fcntl(pair[0], F_SETFL, 0) == 0);
	parent_tell(0);
	parent_hear();
	CHECK(ftruncate(file, 0) == 0);
	parent_tell(0);
	parent_hear();
}

TEST(a_receiver_need_not_depend_on_its_sender)
{
	int pair[2], got[2];
	target = getpid();
	sendfd_inbox *inbox = open_inbox(S, 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	struct child sender = fork_child(meddles, pair);
	child_hear(&sender);
	CHECK_EQ(sendfd_recvs(inbox, got, 2, NULL, 0, NULL, NULL), 2);
	child_tell(&sender, 0);
	child_hear(&sender);
	char bytes[64], byte;
	CHECK_EQ(read(got[0], bytes, sizeof bytes), 0); /* its offset has been moved */
	ssize_t length = pread(got[0], bytes, sizeof bytes, 0);
	CHECK(length > 0);
	CHECK(!(fcntl(got[1], F_GETFL) & O_NONBLOCK));
	CHECK(recv(got[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	int copy = memfd_create("copy", MFD_CLOEXEC);
	CHECK(copy >= 0 && write(copy, bytes, (size_t)length) == length);
	child_tell(&sender, 0);
	child_hear(&sender);
	CHECK_EQ(pread(got[0], bytes, sizeof bytes, 0), 0); /* its content, too */
	CHECK_EQ(pread(copy, bytes, sizeof bytes, 0), length);
	child_tell(&sender, 0);
	child_join(&sender);
	close(copy);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(got[i]);
	}
	sendfd_inbox_close(inbox);
}

/* --- a number that passes on -------------------------------------------------------------------------- */
static void takes_one(void *arg)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	parent_tell(0);
	if (*(bool *)arg)
		expect_number(inbox, 6);
	sendfd_inbox_close(inbox);
}

static void outlives_its_target(void *arg)
{
	bool gets = false;
	char text[16];
	(void)arg;
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	      mount("proc", "/proc", "proc", 0, NULL) == 0);
	struct child meant = fork_child(takes_one, &gets);
	child_hear(&meant);
	pid_t pid = meant.pid;
	int pidfd = my_pidfd_open(pid), fd = make_memfd(6);
	child_join(&meant);
	int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	int length = snprintf(text, sizeof text, "%d", pid - 1);
	CHECK(last >= 0 && write(last, text, (size_t)length) == length);
	gets = true;
	struct child heir = fork_child(takes_one, &gets);
	CHECK_EQ(heir.pid, pid);
	child_hear(&heir);
	CHECK_ERR(sendfd_pidfd(pidfd, S, fd), ESRCH);
	CHECK_OK(sendfd(pid, S, fd)); /* it names the heir now */
	child_join(&heir);
	close(last);
}

TEST_NEEDS(a_pidfd_names_one_process_for_ever, ROOT | PIDFD | PID_NAMESPACE | NET_NAMESPACE)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(unshare(CLONE_NEWPID | CLONE_NEWNET) == 0);
		struct child first = fork_child(outlives_its_target, NULL);
		child_join(&first);
		_exit(0);
	}
	CHECK(exited_well(pid));
}

/* --- files that the receiver has locked ------------------------------------------------------------------ */
static void sends_two_of_one_file(void *arg)
{
	int fd = open(arg, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_OK(sendfds(target, S, (int[]){fd, fd}, 2, NULL, 0, NULL));
}

static void looks_for_a_lock(void *arg)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(arg, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0);
	parent_tell(lock.l_type != F_UNLCK);
}

static bool still_locked(char *path)
{
	struct child other = fork_child(looks_for_a_lock, path);
	bool locked = child_hear(&other);
	child_join(&other);
	return locked;
}

static bool lock_survives_a_refused_parcel(int command)
{
	char path[] = "/tmp/sendfd-lock-XXXXXX";
	int file = mkstemp(path);
	CHECK(file >= 0);
	sendfd_inbox *inbox = open_inbox(S, 0);
	target = getpid();
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	CHECK(fcntl(file, command, &lock) == 0 && still_locked(path));
	struct child sender = fork_child(sends_two_of_one_file, path);
	child_join(&sender);
	CHECK(still_locked(path));
	CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EMSGSIZE);
	bool survives = still_locked(path);
	sendfd_inbox_close(inbox);
	CHECK(unlink(path) == 0 && close(file) == 0);
	return survives;
}

/* POSIX: whoever closes any descriptor of a file loses all record locks that its process has on the file. */
TEST(a_refused_parcel_may_cost_record_locks)
{
	CHECK(!lock_survives_a_refused_parcel(F_SETLK));
	CHECK(lock_survives_a_refused_parcel(F_OFD_SETLK));
}
