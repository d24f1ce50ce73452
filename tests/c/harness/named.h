/* An inbox of which the tests know the name, and so go around the library. */
#ifndef NAMED_H
#define NAMED_H
#include "harness.h"

extern pid_t target;
extern char name[64];
sendfd_inbox *open_named(unsigned flags); /* this process is the target from now on */
#endif
