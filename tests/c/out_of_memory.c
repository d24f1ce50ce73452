/* Memory that runs out at any allocation of a call: -ENOMEM, and everything is as it was. */
#include "harness.h"

/* --- an allocator that fails when it is told to --------------------------------------------------- */
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

/* The last of so many allocations fails, and all after it. */
static __thread volatile long left = -1;
static __thread volatile bool failed;

static bool fails(void)
{
	if (left > 0)
		left--;
	failed = failed || left == 0;
	if (left == 0)
		errno = ENOMEM;
	return left == 0;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
int posix_memalign(void **ret, size_t alignment, size_t size)
{
	*ret = fails() ? NULL : __libc_memalign(alignment, size);
	return *ret ? 0 : ENOMEM;
}
#endif

static void need_the_allocator(void)
{
	left = 0;
	failed = false;
	void *volatile got = malloc(16);
	left = -1;
	free(got);
	if (got)
		SKIP("the allocator is another one");
}

/* Calls with ever later failures until there is none; in a child each, where nothing has been made yet. */
struct attempt {
	int (*call)(void);
	void (*before)(void), (*after)(void);
	long allocations;
	bool may_accept; /* a connection that was accepted stays, whatever became of the call */
};

static void attempt(void *arg)
{
	struct attempt *this = arg;
	if (this->before)
		this->before();
	int fds = count_fds();
	left = this->allocations;
	failed = false;
	int result = this->call();
	left = -1;
	CHECK(result >= 0 || (result == -ENOMEM && failed), "%s at allocation %ld", errno_name(-result),
	      this->allocations);
	if (result < 0) {
		CHECK(count_fds() <= fds + this->may_accept);
		CHECK_OK(this->call());
	}
	if (this->after)
		this->after();
	parent_tell(failed);
}

static void run_out(struct attempt this)
{
	need_the_allocator();
	int refused = 0;
	for (long failing = 1; failing;) {
		struct child child = fork_child(attempt, &this);
		failing = child_hear(&child);
		child_join(&child);
		refused += failing != 0;
		CHECK(++this.allocations < 200);
	}
	CHECK(refused > 0, "it allocates nothing");
}

/* --- the calls ------------------------------------------------------------------------------------- */
static unsigned flags;
static sendfd_inbox *inbox;
static pid_t target;
static int fd;

static int opens(void) { return sendfd_inbox_open(S, flags, &inbox); }
static void is_open_now(void)
{
	pid_t id = flags & SENDFD_INBOX_THREAD ? (pid_t)syscall(SYS_gettid) : getpid();
	fd = make_memfd(3);
	CHECK_OK(sendfd(id, S, fd));
	expect_number(inbox, 3);
	close(fd);
	sendfd_inbox_close(inbox);
	CHECK(!pending(S));
}

TEST_LIMIT(opening_an_inbox, 60)
{
	for (flags = 0; flags < 4; flags++)
		run_out((struct attempt){.call = opens, .after = is_open_now, .allocations = 1});
}

static int sends(void) { return sendfd(target, S, fd); }

TEST_LIMIT(the_first_send, 60)
{
	inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	fd = make_memfd(4);
	run_out((struct attempt){.call = sends, .allocations = 1});
	for (int n; (n = sendfd_recv(inbox, NULL, &NOW)) != -EAGAIN;)
		take_number(n, 4);
	close(fd);
	sendfd_inbox_close(inbox);
}

static sendfd_outbox *outbox;
static char address[SENDFD_ADDRESS_MAX];

static int opens_by_id(void) { return sendfd_outbox_open(target, S, &NOW, &outbox); }
static int opens_by_address(void) { return sendfd_outbox_open_address(address, &NOW, &outbox); }
static void is_of_use(void)
{
	CHECK_OK(sendfd_outbox_send(outbox, &fd, 1, NULL, 0, &NOW));
	sendfd_outbox_close(outbox);
}

TEST_LIMIT(opening_an_outbox, 60)
{
	need_backlog(64, 0);
	for (flags = 0; flags < 4; flags += SENDFD_INBOX_THREAD) {
		inbox = open_inbox(S, flags);
		CHECK_OK(sendfd_inbox_address(inbox, address, sizeof address));
		target = getpid();
		fd = make_memfd(7);
		run_out((struct attempt){.call = opens_by_id, .after = is_of_use, .allocations = 1});
		run_out((struct attempt){.call = opens_by_address, .after = is_of_use, .allocations = 1});
		take_number(recv_soon(inbox, NULL), 7);
		for (int n; (n = sendfd_recv(inbox, NULL, &NOW)) != -EAGAIN;)
			take_number(n, 7);
		close(fd);
		sendfd_inbox_close(inbox);
	}
}

static void has_mail(void)
{
	inbox = open_inbox(S, flags);
	target = getpid();
	fd = make_memfd(5);
	CHECK_OK(sendfd(target, S, fd));
	close(fd);
}
static int receives(void)
{
	int got = sendfd_recv(inbox, NULL, &NOW);
	return got >= 0 ? close(got) : got;
}
static void close_it(void) { sendfd_inbox_close(inbox); }

TEST_LIMIT(the_first_receive, 60)
{
	for (flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL)
		run_out((struct attempt){receives, has_mail, close_it, 1, true});
}

/* --- all of it: no page is left --------------------------------------------------------------------- */
static void *volatile kept;

static void use_it_up(void)
{
	for (size_t size = 1 << 26; size >= 16; size /= 2)
		for (void **block; (block = malloc(size));) {
			*block = kept;
			kept = block;
		}
}

static void give_it_back(void)
{
	while (kept) {
		void **block = kept;
		kept = *block;
		free(block);
	}
}

__attribute__((noinline)) static void grow_the_stack(void)
{
	char stack[1 << 18];
	memset(stack, 1, sizeof stack);
	__asm__ volatile("" : : "r"(stack) : "memory");
}

static void has_none_left(void *arg)
{
	struct rlimit limit;
	(void)arg;
	grow_the_stack(); /* which it could not do later */
	fd = make_memfd(6);
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages;
	CHECK(statm && fscanf(statm, "%lu", &pages) == 1);
	fclose(statm);
	int fds = count_fds();
	CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
	set_limit(RLIMIT_AS, pages * 4096);
	use_it_up();
	for (flags = 0; flags < 4; flags++)
		CHECK_ERR(sendfd_inbox_open(S + 1, flags, &inbox), ENOMEM);
	CHECK_ERR(sendfd(target, S, fd), ENOMEM);
	CHECK_EQ(count_fds(), fds);
	give_it_back();
	set_limit(RLIMIT_AS, limit.rlim_cur);
	CHECK_OK(sendfd(target, S, fd));
	flags = 0;
	CHECK_OK(opens());
	is_open_now();
}

TEST(an_address_space_that_is_full)
{
	need_the_allocator();
	sendfd_inbox *mine = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	target = getpid();
	struct child child = fork_child(has_none_left, NULL);
	child_join(&child);
	expect_number(mine, 6);
	sendfd_inbox_close(mine);
}
