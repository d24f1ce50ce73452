/* Running one test: time limit, children, the count of descriptors. */
#include "harness.h"

#include <dirent.h>
#include <stdarg.h>

static struct test {
	const char *name;
	void (*run)(void);
	unsigned seconds, needs;
} tests[64];
static size_t test_count;
static const char *running = "?";
static time_t over_at; /* by the clock that no namespace moves */
static pid_t main_pid;

static struct child children[256];
static size_t child_count;
static int to_parent = -1, from_parent = -1;

void test_register(const char *name, void (*run)(void), unsigned seconds, unsigned needs)
{
	if (test_count == sizeof tests / sizeof *tests)
		abort();
	tests[test_count++] = (struct test){name, run, seconds, needs};
}

const char *errno_name(int error)
{
	const char *name = error > 0 ? strerrorname_np(error) : NULL;
	return error == 0 ? "0" : name ? name : "no errno";
}

void test_fail(const char *file, int line, int error, const char *what, const char *format, ...)
{
	char text[512], all[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	int n = snprintf(all, sizeof all, "FAILED %s (%s %d): %s:%d: %s:%s (errno %s)\n", running,
			 getpid() == main_pid ? "test" : "child", (int)getpid(), file, line, what, text,
			 errno_name(error));
	if (write(2, all, (size_t)n) < 0)
		abort();
	if (getpid() == main_pid)
		for (size_t i = 0; i < child_count; i++)
			if (children[i].pid > 0)
				kill(children[i].pid, SIGKILL);
	_exit(1);
}

void test_skip(const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	printf("SKIPPED %s: %s\n", running, text);
	fflush(stdout);
	if (getpid() == main_pid)
		for (size_t i = 0; i < child_count; i++)
			if (children[i].pid > 0)
				kill(children[i].pid, SIGKILL);
	_exit(77);
}

static void on_alarm(int sig)
{
	(void)sig;
	static const char text[] = "FAILED: over the time limit: ";
	if (write(2, text, sizeof text - 1) < 0 || write(2, running, strlen(running)) < 0 || write(2, "\n", 1) < 0)
		abort();
	for (size_t i = 0; i < child_count; i++)
		if (children[i].pid > 0)
			kill(children[i].pid, SIGKILL);
	_exit(99);
}

unsigned slower(void)
{
	const char *factor = getenv("SENDFD_TEST_SLOWER");
	return factor && atoi(factor) > 1 ? (unsigned)atoi(factor) : 1;
}

void limit_time(unsigned seconds) { alarm(seconds * slower()); }

/* --- children --------------------------------------------------------------------------------- */
struct child fork_child(void (*run)(void *), void *arg)
{
	int down[2], up[2];
	CHECK(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0);
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < child_count; i++) {
			close(children[i].to);
			close(children[i].from);
		}
		child_count = 0;
		if (to_parent >= 0) {
			close(to_parent);
			close(from_parent);
		}
		close(down[1]);
		close(up[0]);
		from_parent = down[0];
		to_parent = up[1];
		time_t now = time(NULL);
		alarm(over_at > now ? (unsigned)(over_at - now) + 1 : 1);
		run(arg);
		fflush(NULL);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	struct child child = {pid, down[1], up[0]};
	CHECK(child_count < sizeof children / sizeof *children);
	children[child_count++] = child;
	return child;
}

static void forget(pid_t pid)
{
	for (size_t i = 0; i < child_count; i++)
		if (children[i].pid == pid) {
			close(children[i].to);
			close(children[i].from);
			children[i] = children[--child_count];
			return;
		}
}

static int reap(pid_t pid)
{
	int status;
	pid_t got;
	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	CHECK(got == pid, "waitpid(%d)", (int)pid);
	return status;
}

void child_join(struct child *child)
{
	int status = reap(child->pid);
	forget(child->pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		_exit(77);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: %s %d", (int)child->pid,
	      WIFSIGNALED(status) ? "killed by signal" : "exit status",
	      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void child_kill(struct child *child)
{
	CHECK(kill(child->pid, SIGKILL) == 0);
	reap(child->pid);
	forget(child->pid);
}

pid_t clone_that_stays(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	CHECK(pid >= 0);
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		limit_time(60);
		for (;;)
			pause();
	}
	return pid;
}

bool exited_well(pid_t pid)
{
	int status = reap(pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

char state_of(pid_t pid)
{
	char path[64], line[512], state = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	CHECK(file && fgets(line, sizeof line, file));
	fclose(file);
	CHECK(sscanf(strrchr(line, ')'), ") %c", &state) == 1);
	return state;
}

static void tell(int fd, long value)
{
	ssize_t n;
	do
		n = write(fd, &value, sizeof value);
	while (n < 0 && errno == EINTR);
	CHECK(n == sizeof value);
}

static bool hear(int fd, long *ret_value)
{
	ssize_t n;
	do
		n = read(fd, ret_value, sizeof *ret_value);
	while (n < 0 && errno == EINTR);
	return n == sizeof *ret_value;
}

void child_tell(struct child *child, long value) { tell(child->to, value); }

long child_hear(struct child *child)
{
	long value;
	if (!hear(child->from, &value)) {
		child_join(child); /* which knows of children that cannot run here */
		CHECK(false, "child %d ended well, but too early", (int)child->pid);
	}
	return value;
}

void parent_tell(long value) { tell(to_parent, value); }

long parent_hear(void)
{
	long value;
	CHECK(hear(from_parent, &value), "the parent is gone");
	return value;
}

/* --- descriptors at the start and at the end -------------------------------------------------- */
static char *fd_names[4096];

static void note_fds(char **names, size_t room)
{
	DIR *dir = opendir("/proc/self/fd");
	CHECK(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		size_t fd = (size_t)atoi(entry->d_name);
		char link[256];
		if (entry->d_name[0] == '.' || fd == (size_t)dirfd(dir) || fd >= room)
			continue;
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
		CHECK(n > 0);
		link[n] = 0;
		names[fd] = strdup(link);
	}
	closedir(dir);
}

static void compare_fds(void)
{
	static char *names[4096];
	char text[2048] = "";
	note_fds(names, 4096);
	for (size_t fd = 0; fd < 4096; fd++) {
		const char *before = fd_names[fd] ? fd_names[fd] : "-", *after = names[fd] ? names[fd] : "-";
		if (strcmp(before, after) != 0 && strlen(text) < sizeof text - 300)
			sprintf(text + strlen(text), " [%zu: %s, was %s]", fd, after, before);
	}
	CHECK(!text[0], "descriptors differ from the start:%s", text);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < test_count; i++) {
			const char *missing = what_is_missing(tests[i].needs);
			printf("%s%s%s\n", tests[i].name, missing ? "\t" : "", missing ? missing : "");
		}
		return 0;
	}
	struct test *test = NULL;
	for (size_t i = 0; i < test_count && argc == 2; i++)
		if (strcmp(tests[i].name, argv[1]) == 0)
			test = &tests[i];
	if (!test) {
		fprintf(stderr, "usage: %s --list | NAME\n", argv[0]);
		return 2;
	}
	running = test->name;
	main_pid = getpid();
	signal(SIGALRM, on_alarm);
	signal(SIGPIPE, SIG_DFL);
	over_at = time(NULL) + test->seconds * slower();
	limit_time(test->seconds);
	const char *missing = what_is_missing(test->needs);
	if (missing)
		SKIP("%s", missing);
	raise_limits();
	need_limit(RLIMIT_NOFILE, 1024);
	note_fds(fd_names, 4096);
	test->run();
	while (child_count)
		child_join(&(struct child){children[0].pid, children[0].to, children[0].from});
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child was left");
	forget_dead_links();
	compare_fds();
	printf("passed %s\n", test->name);
	return 0;
}
