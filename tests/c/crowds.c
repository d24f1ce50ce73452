/* Hostile acts in numbers: what each can cost the receiver in descriptors, memory and system calls. */
#include "named.h"

#include <sched.h>

#define CROWD 100
#define CALLS_PER_ACT 22 /* two of them where RLIMIT_NOFILE is 1024 or less */
#define BYTES_PER_ACT 2048
#define IDLE 3000

/* --- acts: each is done by a peer of our own user, and gives a socket to hold or -1 ------------- */
static int held(int link)
{
	CHECK(link >= 0, "%s", errno_name(-link));
	return link;
}

static int idles(void) { return held(raw_connect(name)); }

static int vanishes(void)
{
	close(held(raw_connect(name)));
	return -1;
}

static int writes_no_more(void)
{
	int link = held(raw_connect(name));
	CHECK(shutdown(link, SHUT_WR) == 0);
	return link;
}

static int reads_no_more(void)
{
	int link = held(raw_connect(name));
	CHECK(shutdown(link, SHUT_RD) == 0);
	return link;
}

static int sends_nothing(void)
{
	int link = held(raw_connect(name));
	raw_send(link, "", 0, NULL, 0);
	return link;
}

static int lies_with_253_descriptors(void)
{
	int link = held(raw_connect(name)), fds[253];
	for (int i = 0; i < 253; i++)
		fds[i] = 2;
	struct wire wire = WIRE(1, 0);
	CHECK_EQ(raw_send(link, &wire, sizeof wire, fds, 253), 0);
	return link;
}

static int sends_200_kib(void)
{
	static char bytes[200 << 10];
	struct wire wire = WIRE(1, sizeof bytes - sizeof wire);
	memcpy(bytes, &wire, sizeof wire);
	int link = held(raw_connect(name));
	/* where the buffers of sockets are that large */
	int result = raw_send(link, bytes, sizeof bytes, (int[]){2}, 1);
	CHECK(result == 0 || result == -EMSGSIZE, "%s", errno_name(-result));
	return link;
}

static int sends_and_vanishes(void)
{
	int link = held(raw_connect(name));
	struct wire wire = {{'x'}, 0, 0, 0, 0};
	CHECK_EQ(raw_send(link, &wire, sizeof wire, (int[]){2}, 1), 0);
	close(link);
	return -1;
}

static int is_a_stranger(void)
{
	int link = held(raw_connect(name));
	struct wire wire = WIRE(1, 0);
	raw_send(link, &wire, sizeof wire, (int[]){2}, 1);
	return link;
}

struct act {
	const char *what;
	int (*run)(void);
	int fds;    /* that one act may cost the receiver for as long as the peer holds on */
	int passed; /* descriptors in its message: each is closed by a call */
};

static const struct act ACTS[] = {
	{"idle", idles, 1, 0},
	{"vanishes", vanishes, 0, 0},
	{"writes no more", writes_no_more, 0, 0},
	{"reads no more", reads_no_more, 1, 0},
	{"sends nothing", sends_nothing, 0, 0},
	{"253 descriptors", lies_with_253_descriptors, 0, 253},
	{"200 KiB", sends_200_kib, 0, 1},
	{"garbage, then vanishes", sends_and_vanishes, 0, 1},
};
static const struct act STRANGER = {"a stranger", is_a_stranger, 0, 0};

/* What a plain user has in flight is limited; half of it is left to others. */
static int crowd_of(const struct act *act)
{
	struct rlimit files;
	CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
	rlim_t most = files.rlim_max / 2 / (rlim_t)(act->passed + 1);
	return geteuid() == 0 || most > CROWD ? CROWD : (int)most;
}

static void acts(void *arg)
{
	const struct act *act = arg;
	int count = crowd_of(act);
	if (act == &STRANGER)
		become(lonely_uid());
	for (int i = 0; i < count; i++)
		act->run();
	parent_tell(0);
	parent_hear();
}

/* Without the pages of libraries, which all processes share: how many of them are mapped is chance. */
static long resident_bytes(void)
{
	long pages[3];
	FILE *file = fopen("/proc/self/statm", "re");
	CHECK(file && fscanf(file, "%ld %ld %ld", &pages[0], &pages[1], &pages[2]) == 3);
	fclose(file);
	return (pages[1] - pages[2]) * sysconf(_SC_PAGESIZE);
}

/* Takes the one honest parcel behind the crowd, between two marks. */
static void receives(const struct act *act, unsigned flags, int ready, int go)
{
	long value = 0;
	sendfd_inbox *inbox = open_inbox(S, flags);
	int fd = make_memfd(7);
	CHECK_OK(sendfd(getpid(), S, fd));
	expect_number(inbox, 7); /* what is allocated once is there */
	close(fd);
	CHECK(write(ready, &value, sizeof value) == sizeof value);
	CHECK(read(go, &value, sizeof value) == sizeof value);
	int fds = count_fds();
	long bytes = resident_bytes();
	be_traced();
	mark();
	int got = recv_soon(inbox, NULL);
	mark();
	take_number(got, 5);
	CHECK(count_fds() <= fds + crowd_of(act) * act->fds + 1, "%s: %d, then %d", act->what, fds, count_fds());
	long grown = resident_bytes() - bytes;
	if (getenv("SENDFD_TEST_VERBOSE"))
		fprintf(stderr, "%s: %ld bytes\n", act->what, grown);
	CHECK(grown <= (256 << 10) + crowd_of(act) * BYTES_PER_ACT, "%s: %ld bytes", act->what, grown);
	_exit(0);
}

static void honest(void *arg)
{
	(void)arg;
	int fd = make_memfd(5);
	CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, NULL));
	close(fd);
}

static void cost_of(const struct act *act, unsigned flags)
{
	int ready[2], go[2];
	long value, others;
	struct rlimit files;
	CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
	set_limit(RLIMIT_NOFILE, files.rlim_max);
	need_backlog(CROWD + 2, flags);
	CHECK(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		receives(act, flags, ready[1], go[0]);
	CHECK(read(ready[0], &value, sizeof value) == sizeof value);
	target = pid;
	CHECK(crowd_of(act) > 0, "RLIMIT_NOFILE is too low");
	inbox_name(target, S, name, sizeof name);
	struct child crowd = fork_child(acts, (void *)act);
	child_hear(&crowd);
	struct child sender = fork_child(honest, NULL);
	child_join(&sender);
	CHECK(write(go[1], &value, sizeof value) == sizeof value);
	long calls = trace_calls(pid, SYS_read, &others);
	calls += others;
	CHECK(calls <= crowd_of(act) * (CALLS_PER_ACT + act->passed) + 50 + traced_ms() / 25, "%s: %ld calls", act->what, calls);
	if (getenv("SENDFD_TEST_VERBOSE"))
		fprintf(stderr, "%s: %.1f calls each\n", act->what, (double)calls / crowd_of(act));
	child_tell(&crowd, 0);
	child_join(&crowd);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
}

static void cost_of_each(unsigned flags)
{
	for (size_t i = 0; i < sizeof ACTS / sizeof *ACTS; i++)
		cost_of(&ACTS[i], flags);
}

TEST_WITH(each_act_costs_little, 60, PTRACE) { cost_of_each(0); }
TEST_WITH(each_act_costs_little_quiet, 60, PTRACE) { cost_of_each(SENDFD_INBOX_NOSIGNAL); }
TEST_WITH(a_stranger_costs_little, 60, PTRACE | ROOT) { cost_of(&STRANGER, 0); }
TEST_WITH(a_stranger_costs_little_quiet, 60, PTRACE | ROOT) { cost_of(&STRANGER, SENDFD_INBOX_NOSIGNAL); }

/* --- thousands of idle links --------------------------------------------------------------------- */
static void opens_idle_links(void *arg)
{
	(void)arg;
	set_limit(RLIMIT_NOFILE, IDLE + 200);
	for (int i = 0; i < IDLE; i++) {
		int link;
		while ((link = raw_connect(name)) == -EAGAIN)
			sched_yield(); /* as many as may wait at once */
		held(link);
	}
	parent_tell(0);
	parent_hear();
}

static void behind_idle_links(unsigned flags)
{
	set_limit(RLIMIT_NOFILE, IDLE + 200);
	sendfd_inbox *inbox = open_named(flags);
	int fds = count_fds();
	struct child crowd = fork_child(opens_idle_links, NULL);
	while (!readable(crowd.from))
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
	child_hear(&crowd);
	for (int i = 0; i < 20; i++) {
		struct child sender = fork_child(honest, NULL);
		take_number(recv_soon(inbox, NULL), 5);
		child_join(&sender);
	}
	expect_empty(inbox);
	CHECK(count_fds() <= fds + IDLE + 2, "%d", count_fds());
	child_tell(&crowd, 0);
	child_join(&crowd);
	/* That they have gone is noticed, in portions: a call that does not wait has its end. */
	for (int calls = 0; count_fds() > fds + 2; calls++) {
		CHECK_ERR(sendfd_recv(inbox, NULL, &NOW), EAGAIN);
		CHECK(calls < IDLE / 500 * (int)slower(), "%d, then %d", fds, count_fds());
	}
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}

TEST_LIMIT(thousands_of_idle_links, 60) { behind_idle_links(0); }
TEST_LIMIT(thousands_of_idle_links_quiet, 60) { behind_idle_links(SENDFD_INBOX_NOSIGNAL); }

/* --- a flood that does not end --------------------------------------------------------------------- */
static void floods(void *arg)
{
	(void)arg;
	become(lonely_uid());
	struct wire wire = WIRE(1, 0);
	for (int n = 0;; n++) {
		int link = raw_connect(name);
		if (link >= 0)
			raw_send(link, &wire, sizeof wire, (int[]){2}, 1);
		if (link >= 0)
			close(link);
		if (n == 100)
			parent_tell(0);
	}
}

#define MAIL 500
static void sends_mail(void *arg)
{
	(void)arg;
	struct timespec limit = in_ms(20000);
	for (int i = 0; i < MAIL; i++) {
		int fd = make_memfd(i);
		CHECK_OK(sendfds(target, S, &fd, 1, NULL, 0, &limit));
		close(fd);
	}
}

static void under_a_flood(unsigned flags)
{
	sendfd_inbox *inbox = open_named(flags);
	struct child flood = fork_child(floods, NULL);
	child_hear(&flood);
	struct child sender = fork_child(sends_mail, NULL);
	for (int i = 0; i < MAIL; i++)
		take_number(recv_soon(inbox, NULL), i);
	child_join(&sender);
	child_kill(&flood);
	sendfd_inbox_close(inbox);
}

TEST_WITH(mail_arrives_under_a_flood_of_another_user, 60, ROOT) { under_a_flood(0); }
TEST_WITH(mail_arrives_under_a_flood_of_another_user_quiet, 60, ROOT) { under_a_flood(SENDFD_INBOX_NOSIGNAL); }
