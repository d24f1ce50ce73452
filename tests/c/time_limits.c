/* The bench itself: how long its processes may take. */
#include "harness.h"

static void tells_what_is_left(void *arg)
{
	(void)arg;
	unsigned left = alarm(0);
	parent_tell(left);
	limit_time(left);
}

static void tells_of_its_child(void *arg)
{
	(void)arg;
	struct child child = fork_child(tells_what_is_left, NULL);
	parent_tell(child_hear(&child));
	child_join(&child);
}

/* A child has the time that is left to its test, and so has its child; each has it as often as
 * SENDFD_TEST_SLOWER says. */
TEST_LIMIT(a_child_has_the_time_of_its_test, 60)
{
	struct child child = fork_child(tells_of_its_child, NULL);
	long left = child_hear(&child);
	long whole = 60 * (long)slower();
	CHECK(left > whole - 20 && left <= whole + 1, "%ld s", left);
	child_join(&child);
}
