/* refusal SHARD SHARDS: runs every case of its share, each in a process of its own; refusal PATH CALL ERRNO USE: one. */
#include "refusal.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "documented.h" /* made by run from the manual pages */

static const struct path *path;
static struct refusal refusal;

static struct report {
	int made[CALLS];
	bool refused, said;
	int result;
	char wrong[256];
} *report;

void wrong(const char *format, ...)
{
	char text[sizeof report->wrong];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (!__atomic_exchange_n(&report->said, true, __ATOMIC_SEQ_CST)) /* what follows, in a peer, is its consequence */
		memcpy(report->wrong, text, sizeof text);
	_exit(1);
}

static bool is_documented(int error)
{
	for (size_t i = 0; i < sizeof DOCUMENTED / sizeof *DOCUMENTED; i++)
		if (strcmp(DOCUMENTED[i].function, path->function) == 0 && DOCUMENTED[i].error == error)
			return true;
	if (error == ESRCH && strcmp(path->function, "sendfd_inbox_open") == 0)
		return true; /* it would be the caller itself that is gone */
	/* what a sandbox says is passed on */
	return error == refusal.error && (error == EPERM || error == ENOSYS || error == EACCES);
}

static void work(void)
{
	path->prepare();
	arm();
	int result = path->act(), error = errno;
	disarm();
	report->result = result;
	if (result < 0 && error != -result)
		wrong("returned %s, errno is %s", strerrorname_np(-result), strerrorname_np(error));
	if (result < 0 && !is_documented(-result))
		wrong("%s is not among the errors of %s(3)", strerrorname_np(-result), path->function);
	path->verify(result);
}

/* In a process of its own, which has 10 seconds. */
static void run_case(void)
{
	memset(report, 0, sizeof *report);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		alarm(10);
		supervise(&refusal, work);
		memcpy(report->made, calls_made, sizeof calls_made);
		report->refused = was_refused;
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* a peer that was left */
	if (WIFSIGNALED(status))
		snprintf(report->wrong, sizeof report->wrong, WTERMSIG(status) == SIGALRM ? "hangs" : "dies of signal %d",
			 WTERMSIG(status));
}

static int failures, cases, fallbacks, errors;

static void judge(void)
{
	cases++;
	if (report->wrong[0]) {
		failures++;
		printf("FAILED '%s' %s %s %d: %s\n", path->name, call_name(refusal.number),
		       refusal.error ? strerrorname_np(refusal.error) : "-", refusal.use, report->wrong);
	} else if (report->result < 0) {
		errors++;
	} else {
		fallbacks++;
	}
}

/* Every error, at each of the uses that the path makes of the call (the first ones, if it makes many), and
 * at all of them. */
static void refuse_each(int shard, int shards)
{
	int number_of_case = 0;
	for (path = PATHS; path < PATHS + PATH_COUNT; path++) {
		int made[CALLS];
		refusal = (struct refusal){0, 0, 0};
		run_case();
		if (report->wrong[0]) {
			judge();
			continue;
		}
		memcpy(made, report->made, sizeof made);
		for (int number = 0; number < CALLS; number++) {
			if (!made[number] || !call_name(number))
				continue;
			for (const int *error = errors_of(number); *error; error++)
				/* no call is interrupted each time */
				for (int use = *error == EINTR; use <= made[number] && use <= 8; use++) {
					if (number_of_case++ % shards != shard)
						continue;
					refusal = (struct refusal){number, use, *error};
					run_case();
					judge();
				}
		}
	}
}

static int number_of_call(const char *name)
{
	for (int number = 0; number < CALLS; number++)
		if (call_name(number) && strcmp(call_name(number), name) == 0)
			return number;
	return 0;
}

static int number_of_error(const char *name)
{
	for (int error = 1; error < 200; error++)
		if (strerrorname_np(error) && strcmp(strerrorname_np(error), name) == 0)
			return error;
	return 0;
}

int main(int argc, char **argv)
{
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (argc == 3) {
		refuse_each(atoi(argv[1]), atoi(argv[2]));
		printf("%d cases: %d worked all the same, %d gave a documented error, %d FAILED\n", cases, fallbacks, errors,
		       failures);
		return failures > 0;
	}
	if (argc != 5)
		return 2;
	for (path = PATHS; path < PATHS + PATH_COUNT && strcmp(path->name, argv[1]) != 0;)
		path++;
	if (path == PATHS + PATH_COUNT)
		return 2;
	refusal = (struct refusal){number_of_call(argv[2]), atoi(argv[4]), number_of_error(argv[3])};
	run_case();
	printf("result %d%s, %s\n", report->result, report->refused ? ", refused" : "",
	       report->wrong[0] ? report->wrong : "as it should be");
	return report->wrong[0] != 0;
}
