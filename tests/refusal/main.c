/* refusal SHARD SHARDS short|long: runs every case of its share, each in a process of its own, and says a line of
 * each. refusal MACHINE:PATH:CALL:ERRNO:USE[+]: runs that one. */
#include "refusal.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "documented.h" /* made by run from the manual pages */

uint64_t mask_now(void);

static enum machine machine;
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

bool is_refused_with(int error) { return refusal.error == error; }

static bool is_among(const char *function, int error)
{
	for (size_t i = 0; i < sizeof DOCUMENTED / sizeof *DOCUMENTED; i++)
		if (strcmp(DOCUMENTED[i].function, function) == 0 && DOCUMENTED[i].error == error)
			return true;
	return false;
}

/* sendfd(7) has what a sandbox says and is passed on. */
static bool is_documented(int error)
{
	if (error == ESRCH && strncmp(path->function, "sendfd_inbox_open", 17) == 0)
		return true; /* it would be the caller itself that is gone */
	return is_among(path->function, error) ||
	       (error == refusal.error && is_among("passed on", error));
}

static void work(void)
{
	path->prepare();
	uint64_t mask = mask_now();
	arm();
	int result = path->act(), error = errno;
	disarm();
	report->result = result;
	if (result < 0 && error != -result)
		wrong("returned %s, errno is %s", strerrorname_np(-result), strerrorname_np(error));
	if (result < 0 && !is_documented(-result))
		wrong("%s is not among the errors of %s(3)", strerrorname_np(-result), path->function);
	bool may_change = strncmp(path->function, "sendfd_inbox_", 13) == 0;
	if ((result < 0 || !may_change) && mask_now() != mask)
		wrong("the signal mask has changed");
	path->verify(result);
}

/* In a process of its own, which has 20 seconds. */
static void run_case(void)
{
	memset(report, 0, sizeof *report);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		alarm(20);
		supervise(machine, &refusal, work);
		memcpy(report->made, calls_made, sizeof calls_made);
		report->refused = was_refused;
		if (unknown_call >= 0)
			wrong("makes system call %d, which calls.c does not know", unknown_call);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* a peer that was left */
	if (WIFSIGNALED(status))
		snprintf(report->wrong, sizeof report->wrong, WTERMSIG(status) == SIGALRM ? "hangs" : "dies of signal %d",
			 WTERMSIG(status));
}

static int failures;

/* MACHINE:PATH:CALL:ERRNO:USE OUTCOME REASON */
static void say(void)
{
	const char *outcome = report->result < 0 ? strerrorname_np(-report->result) : "worked";
	printf("%s:%s:%s:%s:%d%s\t", MACHINE_NAMES[machine], path->name,
	       refusal.error ? call_name(refusal.number) : "-", refusal.error ? strerrorname_np(refusal.error) : "-",
	       refusal.use, refusal.and_more ? "+" : "");
	if (report->wrong[0]) {
		failures++;
		printf("FAILED\t%s\n", report->wrong);
	} else {
		printf("%s\n", refusal.error && !report->refused ? "unreached" : outcome);
	}
}

static int number_of_case, shard, shards;

static void refuse(int number, int use, bool and_more, int error)
{
	if (number_of_case++ % shards != shard)
		return;
	refusal = (struct refusal){number, use, and_more, error};
	run_case();
	say();
}

/* Every error, at each of the uses that the path makes of the call, and from there on. */
static void refuse_each(const int *made, bool all)
{
	for (int number = 0; number < CALLS; number++) {
		if (!made[number] || lacks(machine, number))
			continue;
		int uses = made[number] < (all ? 40 : 8) ? made[number] : (all ? 40 : 8);
		for (const int *error = errors_of(number); *error; error++)
			for (int use = 1; use <= uses; use++) {
				refuse(number, use, false, *error);
				if (can_last(*error) && (all || use == 1))
					refuse(number, use, true, *error);
			}
	}
}

static bool can_be_run(void)
{
	return (!(path->when & NEEDS_ROOT) || geteuid() == 0) &&
	       (!(path->when & NEEDS_PIDFD) || machine < NO_PIDFD_OPEN);
}

/* The middle one of the older kernels is like its neighbours. */
static bool is_of_interest(void)
{
	return machine == THIS_KERNEL || ((path->when & OLD_TOO) && machine != NO_PEERPIDFD);
}

static void refuse_in(const struct path *paths, bool all)
{
	for (path = paths; path->name; path++) {
		for (machine = THIS_KERNEL; machine < MACHINES; machine++) {
			if (!can_be_run()) {
				if (shard == 0)
					printf("%s:%s\tskipped\t%s\n", MACHINE_NAMES[machine], path->name,
					       path->when & NEEDS_ROOT ? "needs root" : "needs pidfd_open");
				continue;
			}
			refusal = (struct refusal){0, 0, false, 0};
			run_case();
			if (report->wrong[0] || shard == 0)
				say();
			if (report->wrong[0])
				continue;
			int made[CALLS];
			memcpy(made, report->made, sizeof made);
			if (all || is_of_interest())
				refuse_each(made, all);
		}
	}
}

static const struct path *const ALL[] = {SENDING, RECEIVING, LIFETIME, ASKING};
#define WAYS (sizeof ALL / sizeof *ALL)

static bool parse(char *spec)
{
	char *machine_name = strtok(spec, ":"), *path_name = strtok(NULL, ":"), *call = strtok(NULL, ":"),
	     *error = strtok(NULL, ":"), *use = strtok(NULL, ":");
	if (!use)
		return false;
	refusal = (struct refusal){0, atoi(use), strchr(use, '+') != NULL, 0};
	for (machine = THIS_KERNEL; machine < MACHINES && strcmp(MACHINE_NAMES[machine], machine_name) != 0;)
		machine++;
	for (size_t i = 0; i < WAYS && !path; i++)
		for (const struct path *one = ALL[i]; one->name; one++)
			if (strcmp(one->name, path_name) == 0)
				path = one;
	for (int number = 0; number < CALLS; number++)
		if (call_name(number) && strcmp(call_name(number), call) == 0)
			refusal.number = number;
	for (int number = 1; number < 200; number++)
		if (strerrorname_np(number) && strcmp(strerrorname_np(number), error) == 0)
			refusal.error = number;
	return machine < MACHINES && path;
}

int main(int argc, char **argv)
{
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (argc == 4) {
		shard = atoi(argv[1]);
		shards = atoi(argv[2]);
		for (size_t i = 0; i < WAYS; i++)
			refuse_in(ALL[i], strcmp(argv[3], "long") == 0);
		return failures > 0;
	}
	if (argc != 2 || !parse(argv[1]))
		return 2;
	run_case();
	say();
	return failures > 0;
}
