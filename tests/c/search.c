/* What is planted where a sender looks for an inbox in the root of a container: it is passed over. */
#include "container.h"

#include <limits.h>
#include <sys/sysmacros.h>

static void no_more(void) { }
PLANT(nothing, no_more)

/* --- links ---------------------------------------------------------------------------------------------------- */
static void link_file(const char *to) { make_link(to, in("/run/sendfd")); }
static const char *of_host(const char *path)
{
	static char text[PATH_MAX];
	snprintf(text, sizeof text, "/proc/%d/root%s", getppid(), path);
	return text;
}

static void absolute_directory(void) { link_directory("/mnt/decoy"); }
static void relative_directory(void) { link_directory("../../../../../mnt/decoy"); }
static void magic_directory(void) { link_directory(of_host("/mnt/decoy")); }
static void looping_directory(void) { link_directory("/run/sendfd"); }
static void absolute_file(void) { link_file(in("/mnt/decoy")); }
static void relative_file(void) { link_file(in("../../../../../mnt/decoy")); }
static void magic_file(void) { link_file(of_host(in("/mnt/decoy"))); }

PLANT(an_absolute_link_for_the_directory, absolute_directory, .leads_out = true)
PLANT(a_relative_link_for_the_directory, relative_directory)
PLANT(a_magic_link_for_the_directory, magic_directory, .leads_out = true)
PLANT(a_link_to_itself, looping_directory)
PLANT(an_absolute_link_for_the_file, absolute_file, .leads_out = true)
PLANT(a_relative_link_for_the_file, relative_file)
PLANT(a_magic_link_for_the_file, magic_file, .leads_out = true)

static void mount_of_the_host(void)
{
	CHECK(mkdir("/mnt/host", 0755) == 0);
	link_directory("/mnt/host");
}

/* A link that stays inside is one like others. */
PLANT(a_link_to_an_empty_directory, mount_of_the_host)

/* --- files ---------------------------------------------------------------------------------------------------- */
static int listener, waiting[64];

static void fifo(void) { CHECK(mkfifo(in("/run/sendfd"), 0777) == 0); }
static void file(void) { close(open(in("/run/sendfd"), O_CREAT | O_CLOEXEC, 0777)); }
static void device(void) { CHECK(mknod(in("/run/sendfd"), S_IFCHR | 0777, makedev(1, 5)) == 0); }
static void directory(void) { CHECK(mkdir(in("/run/sendfd"), 0777) == 0); }
static void stream(void) { listener = listen_at(in("/run/sendfd"), SOCK_STREAM); }
static void dead(void) { close(listen_at(in("/run/sendfd"), SOCK_SEQPACKET)); }
static void close_listener(void) { close(listener); }
static void no_directory(void) { CHECK(rmdir("/run/sendfd") == 0 && mkfifo("/run/sendfd", 0777) == 0); }

PLANT(a_fifo, fifo)
PLANT(a_plain_file, file)
PLANT(a_device, device)
PLANT(a_directory, directory)
PLANT(a_stream_listener, stream, .clear = close_listener)
PLANT(a_dead_socket, dead)
PLANT(a_fifo_for_the_directory, no_directory)

/* A process of the container's root; it is connected to, and gets nothing. */
static pid_t other;
static int stop[2];

static void get_nothing(void)
{
	char bytes[64];
	int link, connections = 0;
	struct pollfd either[2] = {{listener, POLLIN, 0}, {stop[0], POLLIN, 0}};
	do {
		CHECK(poll(either, 2, -1) > 0);
		while ((link = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			CHECK(read(link, bytes, sizeof bytes) == 0);
			close(link);
			connections++;
		}
	} while (!either[1].revents);
	CHECK(connections > 0);
}

static void listens(void)
{
	int gate[2];
	CHECK(pipe2(gate, O_CLOEXEC) == 0 && pipe2(stop, O_CLOEXEC) == 0);
	other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		alarm(20);
		close(gate[0]);
		close(stop[1]);
		listener = listen_at(in("/run/sendfd"), SOCK_SEQPACKET);
		close(gate[1]);
		get_nothing();
		_exit(0);
	}
	char byte;
	close(gate[1]);
	close(stop[0]);
	CHECK(read(gate[0], &byte, 1) == 0);
	close(gate[0]);
}

static void has_got_nothing(void)
{
	close(stop[1]);
	CHECK(exited_well(other));
}

PLANT(a_socket_of_another_process, listens, .clear = has_got_nothing)

/* Connections wait there, as many as can. */
static void listens_in_vain_at(const char *path)
{
	listener = listen_at(path, SOCK_SEQPACKET);
	for (int i = 0; (waiting[i] = connect_at(path)) >= 0; i++)
		CHECK(i < 63);
	CHECK(errno == EAGAIN);
	/* it is not the target */
	other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		CHECK(listen(listener, 0) == 0);
		_exit(0);
	}
	CHECK(exited_well(other));
}
static void listens_in_vain(void) { listens_in_vain_at(in("/run/sendfd")); }
static void close_all(void)
{
	for (int i = 0; waiting[i] >= 0; i++)
		close(waiting[i]);
	close(listener);
}

PLANT(a_full_socket_of_another_process, listens_in_vain, .clear = close_all, .error = EAGAIN)

static void waits_in_its_place(void *arg)
{
	fresh_directories();
	CHECK(unshare(CLONE_NEWNET) == 0 && mkdir("/run/sendfd", 0755) == 0);
	name_of(getpid());
	listens_in_vain();
	parent_tell(0);
	parent_hear();
	close_all();
	(void)arg;
}

static void ends_later(void *arg)
{
	waits_in_its_place(arg);
	_exit(0);
}

TEST_NEEDS(a_deadline_is_kept_at_a_full_socket, NEEDS)
{
	struct timespec brief = {0, 200000000};
	fresh_directories();
	struct child container = fork_child(ends_later, NULL);
	child_hear(&container);
	struct attempt attempt = {container.pid, &brief};
	CHECK_EQ(try_to_send(&attempt, 2000), -ETIMEDOUT);
	/* and its end is noticed */
	attempt.timeout = NULL;
	struct child sender = fork_child(attempts, &attempt);
	child_tell(&container, 0);
	child_join(&container);
	long result = child_hear(&sender); /* what it has open is closed before it counts as dead */
	CHECK(result == -ESRCH || result == -ECONNREFUSED, "%s", errno_name((int)-result));
	child_hear(&sender);
	child_join(&sender);
}

static void opens_later(void *arg)
{
	parent_hear();
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_hear();
	sendfd_inbox_close(inbox);
	(void)arg;
}

static void *tells_to_open(void *arg)
{
	poll(NULL, 0, 100); /* the other waits by then, most likely */
	child_tell(arg, 0);
	return NULL;
}

/* Where it has no file at all. */
TEST_NEEDS(an_inbox_is_found_behind_a_full_socket, NEEDS)
{
	char address[SENDFD_ADDRESS_MAX];
	sendfd_outbox *outbox = NULL;
	struct timespec limit = {10, 0};
	fresh_directories();
	struct child receiver = fork_child(opens_later, NULL);
	name_of(receiver.pid);
	listens_in_vain_at(in("/dev/shm"));
	snprintf(address, sizeof address, "sendfd.1/%s", file_name + strlen("sendfd.1."));
	*strchr(address + strlen("sendfd.1/"), '.') = '/';
	CHECK_ERR(sendfd_outbox_open_address(address, &NOW, &outbox), EAGAIN);
	pthread_t thread = thread_start(tells_to_open, &receiver);
	CHECK_OK(sendfd_outbox_open_address(address, &limit, &outbox));
	thread_join(thread);
	sendfd_outbox_close(outbox);
	close_all();
	child_tell(&receiver, 0);
	child_join(&receiver);
}

/* Neither the target's nor root's: it is not even connected to. */
static void of_a_user(void)
{
	listener = listen_at(in("/run/sendfd"), SOCK_SEQPACKET);
	CHECK(chown(in("/run/sendfd"), 2, 2) == 0);
}
static void nobody_came(void)
{
	CHECK(accept(listener, NULL, NULL) < 0 && errno == EAGAIN);
	close(listener);
}

PLANT(a_socket_of_another_user, of_a_user, .clear = nobody_came)

