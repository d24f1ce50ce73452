/* Many links to one inbox, with mail on all of them in turn; and as many socket pairs in one epoll set. */
#include "bench.h"

#include <sendfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PARCELS 256
#define AT_ONCE 64

static const struct timespec now = {0, 0};

/* --- the library ------------------------------------------------------------------------------------------ */
struct linked {
	int count, next;
	sendfd_inbox *inbox;
	sendfd_outbox **outboxes;
};

static void open_links(struct linked *linked, int count, int signo)
{
	*linked = (struct linked){.count = count, .outboxes = calloc((size_t)count, sizeof(sendfd_outbox *))};
	must(linked->outboxes && sendfd_inbox_open(signo, SENDFD_INBOX_NOSIGNAL, &linked->inbox) == 0, "an inbox");
	for (int i = 0; i < count; i++) {
		must(sendfd_outbox_open(getpid(), signo, &now, &linked->outboxes[i]) == 0, "sendfd_outbox_open");
		must(sendfd_outbox_send(linked->outboxes[i], &null_fd, 1, NULL, 0, NULL) == 0, "sendfd_outbox_send");
		close(sendfd_recv(linked->inbox, NULL, &now));
	}
}

static void send_and_take(struct linked *linked, int times)
{
	for (int done = 0; done < times; done += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++) {
			sendfd_outbox *to = linked->outboxes[linked->next];

			linked->next = (linked->next + 1) % linked->count;
			must(sendfd_outbox_send(to, &null_fd, 1, NULL, 0, NULL) == 0, "sendfd_outbox_send");
		}
		for (int i = 0; i < AT_ONCE; i++) {
			int fd = sendfd_recv(linked->inbox, NULL, &now);

			must(fd >= 0, "sendfd_recv");
			close(fd);
		}
	}
}

/* --- socket pairs ----------------------------------------------------------------------------------------- */
struct paired {
	int count, next, epoll, (*pairs)[2];
};

static void open_pairs(struct paired *paired, int count)
{
	*paired = (struct paired){.count = count, .pairs = calloc((size_t)count, sizeof(int[2]))};
	must(paired->pairs != NULL && (paired->epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0, "epoll_create1");
	for (int i = 0; i < count; i++) {
		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, paired->pairs[i]) == 0, "socketpair");
		pass_credentials(paired->pairs[i][1]);
		epoll_also(paired->epoll, paired->pairs[i][1]);
	}
}

static void send_and_take_raw(struct paired *paired, int times)
{
	struct epoll_event events[AT_ONCE];

	for (int done = 0; done < times; done += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++) {
			send_one(paired->pairs[paired->next][0], "", 1, null_fd);
			paired->next = (paired->next + 1) % paired->count;
		}
		for (int left = AT_ONCE; left > 0;) {
			int found = epoll_wait(paired->epoll, events, AT_ONCE, 0);

			must(found > 0, "epoll_wait");
			left -= found;
			for (int i = 0; i < found; i++) {
				int fd = receive_one(events[i].data.fd, MSG_DONTWAIT | MSG_PEEK);

				must(recv(events[i].data.fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) == 1, "recv");
				close(fd);
			}
		}
	}
}

#define COUNTS(number)                                                                                        \
	static struct linked linked_##number;                                                                 \
	static struct paired paired_##number;                                                                 \
	static void by_links_##number(int times) { send_and_take(&linked_##number, times); }                  \
	static void by_pairs_##number(int times) { send_and_take_raw(&paired_##number, times); }
COUNTS(1) COUNTS(4) COUNTS(10) COUNTS(100) COUNTS(1000)
static struct linked linked_9000;
static void by_links_9000(int times) { send_and_take(&linked_9000, times); }

void many_links(void)
{
	const struct contender few[] = {
		{"1", by_links_1}, {"4", by_links_4}, {"10", by_links_10}, {"100", by_links_100},
		{"raw, 1", by_pairs_1}, {"raw, 4", by_pairs_4}, {"raw, 10", by_pairs_10},
		{"raw, 100", by_pairs_100},
	};
	/* In each round all of them, and soon enough again that no send has to look whether the receiver lives. */
	const struct contender many[] = {{"4", by_links_4}, {"1000", by_links_1000}, {"raw, 4", by_pairs_4},
					 {"raw, 1000", by_pairs_1000}};
	const struct contender most[] = {{"4", by_links_4}, {"9000", by_links_9000}};

	if (!may_open(8000)) {
		fprintf(stderr, "many links: RLIMIT_NOFILE is too low\n");
		return;
	}
	open_links(&linked_1, 1, 40);
	open_links(&linked_4, 4, 41);
	open_links(&linked_10, 10, 42);
	open_links(&linked_100, 100, 43);
	open_links(&linked_1000, 1000, 44);
	open_pairs(&paired_1, 1);
	open_pairs(&paired_4, 4);
	open_pairs(&paired_10, 10);
	open_pairs(&paired_100, 100);
	open_pairs(&paired_1000, 1000);
	compare("links", "", few, sizeof few / sizeof *few, PARCELS, THIS_THREAD);
	compare("links", "1000", many, sizeof many / sizeof *many, 1024, THIS_THREAD);
	for (int i = 0; i < 1000; i++) {
		close(paired_1000.pairs[i][0]);
		close(paired_1000.pairs[i][1]);
		sendfd_outbox_close(linked_1000.outboxes[i]);
	}
	sendfd_inbox_close(linked_1000.inbox);
	if (!may_open(19000)) {
		fprintf(stderr, "9,000 links: RLIMIT_NOFILE is too low\n");
		return;
	}
	open_links(&linked_9000, 9000, 45);
	compare("links", "9000", most, 2, 9024, THIS_THREAD);
}
