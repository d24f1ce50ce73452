/* What tests/packages/floor has to report: one name that only newer C libraries have, and one that none has. */

int gettid(void);
int sendfd_nobody_has_this(void);

int too_new(void)
{
	return gettid() + sendfd_nobody_has_this();
}
