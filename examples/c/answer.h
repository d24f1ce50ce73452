/* What the three workers have in common: one HTTP request is read from a connection, one line is
 * answered. */
#ifndef ANSWER_H
#define ANSWER_H
#include <sendfd.h>

/* Answers and closes the connection, which the process info->pid has accepted. */
void answer(int connection, pid_t worker, const sendfd_info *info);

/* Whether one may go on after a receive call has failed. A parcel of several descriptors, for which
 * we have no use and which would stay first in the queue, is dropped. */
int may_go_on(sendfd_inbox *inbox, int error);

#endif
