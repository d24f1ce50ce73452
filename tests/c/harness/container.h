/* A container, which has a root and a network of its own; and a sender of the host, who may not enter that network
 * and so looks for an inbox in that root, which may be hostile. */
#ifndef CONTAINER_H
#define CONTAINER_H
#include "harness.h"

#define NEEDS ROOT | NET_NAMESPACE | PIDFS | SECCOMP

/* Directories that are nobody else's, where senders and receivers look, and /mnt. */
void fresh_directories(void);

/* --- files of sockets ------------------------------------------------------------------------------------------ */
extern char file_name[64]; /* of the socket of the target */
void name_of(pid_t pid);   /* who is the target */
const char *in(const char *directory); /* its path there; good until it has been called twice more */
void make_link(const char *to, const char *path);
void link_directory(const char *to); /* in the place of /run/sendfd */

/* --- the sender: the host's root, which may not go to other network namespaces ---------------------------------- */
struct attempt {
	pid_t to;
	const struct timespec *timeout;
};
void attempts(void *attempt); /* for a child, which tells the result, and how many milliseconds it took */
int try_to_send(const struct attempt *attempt, long ms);
int try_at_once(pid_t to);

/* --- what is planted ------------------------------------------------------------------------------------------- */
struct plant {
	void (*put)(void); /* in its /run/sendfd, which is there */
	void (*clear)(void);
	bool leads_out; /* who follows the path gets to a socket of the host */
	int error;      /* of a send that does not wait, while there is no inbox; 0: ECONNREFUSED */
};
/* Nothing goes to what was planted, nobody waits for it, and the inbox in the other directory is found. */
void check_plant(const struct plant *plant);

#define PLANT(test, ...)                                                                                      \
	TEST_NEEDS(test, NEEDS)                                                                               \
	{                                                                                                     \
		static const struct plant this = {.put = __VA_ARGS__};                                               \
		check_plant(&this);                                                                           \
	}
#endif
