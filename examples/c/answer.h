/* What the three workers have in common: one HTTP request is read from a connection, one line is
 * answered. */
#ifndef ANSWER_H
#define ANSWER_H
#include <sendfd.h>

/* Answers and closes the connection, which the process info->pid has accepted. */
void answer(int connection, pid_t worker, const sendfd_info *info);

/* Whether one may go on after a receive call has failed, which has filled info. A parcel that cannot be
 * taken is thrown away: it would be reported again and again. */
int may_go_on(sendfd_inbox *inbox, int error, const sendfd_info *info);

#endif
