/* Requests and their answers. */
#include "harness.h"

static int ask(sendfd_outbox *outbox, const char *question, long ms)
{
	struct timespec limit = in_ms(ms);
	return sendfd_outbox_request(outbox, NULL, 0, question, strlen(question), NULL, 0, NULL, 0, NULL, &limit);
}

/* Takes a request, any parcel that it is; its descriptors are closed. */
static sendfd_info take_request(sendfd_inbox *inbox, char *ret_question)
{
	struct timespec limit = in_ms(10000);
	int fds[SENDFD_MAX_FDS];
	sendfd_info info;
	int nfds = CHECK_OK(sendfd_recvs(inbox, fds, LEN(fds), ret_question, 100, &info, &limit));
	while (nfds > 0)
		close(fds[--nfds]);
	return info;
}

/* --- answers of every size ----------------------------------------------------------------------- */
static void answerer(void *arg)
{
	unsigned flags = *(unsigned *)arg;
	static char data[SENDFD_MAX_DATA];
	sendfd_inbox *inbox = open_inbox(S, flags);
	parent_tell(0);
	for (;;) {
		char question[100];
		long counts[2];
		sendfd_info info = take_request(inbox, question);
		CHECK(info.reply >= 0 && is_cloexec(info.reply));
		memcpy(counts, question, sizeof counts);
		int fds[SENDFD_MAX_FDS];
		for (long i = 0; i < counts[0]; i++)
			fds[i] = make_memfd(i);
		memset(data, (int)counts[1], sizeof data);
		CHECK_OK(sendfd_reply(info.reply, fds, (size_t)counts[0], data, (size_t)counts[1]));
		CHECK_ERR(sendfd_reply(info.reply, fds, (size_t)counts[0], data, (size_t)counts[1]), EPIPE);
		close(info.reply);
		for (long i = 0; i < counts[0]; i++)
			close(fds[i]);
		if (counts[0] == 252)
			break;
	}
	sendfd_inbox_close(inbox);
}

TEST(answers_of_every_size)
{
	static char data[SENDFD_MAX_DATA];
	long sizes[][2] = {{0, 0}, {1, 0}, {0, 1}, {3, 4096}, {1, SENDFD_MAX_DATA}, {252, SENDFD_MAX_DATA}};
	for (unsigned flags = 0; flags < 4; flags++) {
		struct child child = fork_child(answerer, &flags);
		child_hear(&child);
		sendfd_outbox *outbox = open_outbox(child.pid, S);
		for (size_t s = 0; s < LEN(sizes); s++) {
			int fds[SENDFD_MAX_FDS], sent = make_memfd(9);
			sendfd_info info;
			int nfds = CHECK_OK(sendfd_outbox_request(outbox, &sent, 1, sizes[s], sizeof sizes[s], fds,
								  LEN(fds), data, sizeof data, &info, NULL));
			CHECK_EQ(nfds, sizes[s][0]);
			CHECK_EQ(info.nfds, sizes[s][0]);
			CHECK_EQ(info.len, sizes[s][1]);
			CHECK_EQ(info.reply, -1);
			CHECK_EQ(info.pid, child.pid);
			CHECK_EQ(info.uid, getuid());
			CHECK_EQ(info.gid, getgid());
			for (long i = 0; i < nfds; i++) {
				CHECK(is_cloexec(fds[i]));
				take_number(fds[i], i);
			}
			for (long i = 0; i < sizes[s][1]; i++)
				CHECK_EQ(data[i], (char)sizes[s][1]);
			close(sent);
		}
		sendfd_outbox_close(outbox);
		child_join(&child);
	}
}

/* --- answers that do not come --------------------------------------------------------------------- */
enum way { CLOSE_UNANSWERED, RECV_WITHOUT_INFO, DIE, CLOSE_INBOX_UNTAKEN, FORGET };

static void unwilling(void *arg)
{
	enum way way = *(enum way *)arg;
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	char question[100];
	parent_tell(0);
	if (way == CLOSE_INBOX_UNTAKEN) {
		parent_hear();
		sendfd_inbox_close(inbox);
		return;
	}
	if (way == RECV_WITHOUT_INFO) {
		close(recv_soon(inbox, NULL));
		parent_hear();
	} else {
		sendfd_info info = take_request(inbox, question);
		CHECK(info.reply >= 0);
		if (way == DIE)
			raise(SIGKILL);
		if (way == CLOSE_UNANSWERED)
			close(info.reply);
		parent_hear();
		if (way == FORGET) {
			CHECK_ERR(sendfd_reply(info.reply, NULL, 0, "late", 4), EPIPE);
			close(info.reply);
		}
	}
	sendfd_inbox_close(inbox);
}

TEST(no_answer)
{
	for (enum way way = CLOSE_UNANSWERED; way <= FORGET; way++) {
		struct child child = fork_child(unwilling, &way);
		child_hear(&child);
		sendfd_outbox *outbox = open_outbox(child.pid, S);
		if (way == FORGET) {
			struct timespec brief = in_ms(40);
			CHECK_TIMES_OUT(
				sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &brief), 40);
			CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, &NOW), EAGAIN);
		} else {
			pthread_t asker = thread_start(ask_for_ever, outbox);
			if (way == CLOSE_INBOX_UNTAKEN) { /* once it is queued: sent, and not taken */
				struct timespec pause = in_ms(1);
				while (sendfd_outbox_wait_taken(outbox, &NOW) == 0)
					nanosleep(&pause, NULL);
				child_tell(&child, 0);
			}
			void *result;
			CHECK(pthread_join(asker, &result) == 0);
			CHECK_EQ((intptr_t)result, -ECONNRESET);
		}
		if (way == DIE) {
			child_kill(&child);
		} else {
			if (way != CLOSE_INBOX_UNTAKEN)
				child_tell(&child, 0);
			child_join(&child);
		}
		sendfd_outbox_close(outbox);
	}
}

static void answers_with_an_empty_message(void *arg)
{
	(void)arg;
	char question[100];
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	parent_tell(0);
	sendfd_info info = take_request(inbox, question);
	CHECK_EQ(raw_send(info.reply, "", 0, (int[]){2}, 1), 0);
	parent_hear();
	close(info.reply);
	sendfd_inbox_close(inbox);
}

/* It looks like the end, and is followed by what is it itself. */
TEST(an_empty_message_is_no_answer)
{
	struct child child = fork_child(answers_with_an_empty_message, NULL);
	child_hear(&child);
	sendfd_outbox *outbox;
	struct timespec limit = in_ms(5000);
	CHECK_OK(sendfd_outbox_open(child.pid, S, &limit, &outbox));
	CHECK_EQ((int)(intptr_t)ask_for_ever(outbox), -ECONNRESET);
	sendfd_outbox_close(outbox);
	child_tell(&child, 1);
	child_join(&child);
}

TEST(the_asker_is_gone)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	char question[100];
	CHECK_ERR(ask(outbox, "in vain", 0), EAGAIN);
	sendfd_info info = take_request(inbox, question);
	CHECK(info.reply >= 0);
	int fd = make_memfd(1);
	CHECK_ERR(sendfd_reply(info.reply, &fd, 1, NULL, 0), EPIPE);
	close(fd);
	close(info.reply);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

/* --- answers that do not fit ----------------------------------------------------------------------- */
static struct witness witness;
static bool fill_the_table;
static int fillers[1024];
static size_t filled;

static void *answer_with_witness(void *inbox)
{
	char question[100];
	sendfd_info info = take_request(inbox, question);
	for (int fd; fill_the_table && (fd = dup(2)) >= 0;)
		fillers[filled++] = fd;
	int fds[] = {witness.sent, witness.sent, witness.sent};
	CHECK_OK(sendfd_reply(info.reply, fds, 3, "abc", 3));
	close(info.reply);
	return NULL;
}

static void one_that_does_not_fit(size_t max_fds, size_t max_len, int error)
{
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	witness = make_witness();
	pthread_t thread = thread_start(answer_with_witness, inbox);
	int fds[3] = {-7, -7, -7};
	char data[3] = "...";
	sendfd_info info = {.nfds = 99, .reply = -5};
	CHECK_ERR(sendfd_outbox_request(outbox, NULL, 0, NULL, 0, fds, max_fds, data, max_len, &info, NULL), error);
	thread_join(thread);
	CHECK(fds[0] == -7 && fds[2] == -7 && data[0] == '.');
	if (error == EMSGSIZE)
		CHECK(info.nfds == 3 && info.len == 3 && info.reply == -1);
	else
		CHECK(info.nfds == 99);
	while (filled > 0)
		close(fillers[--filled]);
	close(witness.sent);
	CHECK(witness_released(witness.end, 5000));
	close(witness.end);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

TEST(an_answer_that_does_not_fit_is_released)
{
	one_that_does_not_fit(2, 3, EMSGSIZE);
	one_that_does_not_fit(3, 2, EMSGSIZE);
	set_limit(RLIMIT_NOFILE, 256);
	fill_the_table = true;
	one_that_does_not_fit(3, 3, EMFILE);
}

/* --- many at a time -------------------------------------------------------------------------------- */
static void *ask_many(void *outbox)
{
	for (long i = 0; i < 50; i++) {
		long question = (long)syscall(SYS_gettid) * 100 + i, answer = 0;
		CHECK_EQ(sendfd_outbox_request(outbox, NULL, 0, &question, sizeof question, NULL, 0, &answer,
					       sizeof answer, NULL, NULL),
			 0);
		CHECK_EQ(answer, question + 1);
	}
	return NULL;
}

TEST(many_requests_under_way_are_answered_in_any_order)
{
	enum { THREADS = 100, ROUNDS = 50 };
	sendfd_inbox *inbox = open_inbox(S, 0);
	sendfd_outbox *outbox = open_outbox(getpid(), S);
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		threads[i] = thread_start(ask_many, outbox);
	struct timespec limit = in_ms(10000);
	struct {
		int place;
		long question;
	} asked[THREADS];
	int count = 0, answered = 0;
	while (answered < THREADS * ROUNDS) {
		sendfd_info info;
		long question;
		/* Nobody is answered before a few wait, so that the last come first. */
		int result = sendfd_recvs(inbox, NULL, 0, &question, sizeof question, &info, count ? &NOW : &limit);
		if (result == 0) {
			asked[count].place = info.reply;
			asked[count++].question = question;
			continue;
		}
		CHECK_EQ(result, -EAGAIN);
		while (count > 0) {
			long answer = asked[--count].question + 1;
			CHECK_OK(sendfd_reply(asked[count].place, NULL, 0, &answer, sizeof answer));
			close(asked[count].place);
			answered++;
		}
	}
	for (int i = 0; i < THREADS; i++)
		thread_join(threads[i]);
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

/* --- bare messages -------------------------------------------------------------------------------- */
TEST(parcels_without_descriptors)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		pid_t to = flags & SENDFD_INBOX_THREAD ? (pid_t)syscall(SYS_gettid) : getpid();
		sendfd_inbox *inbox = open_inbox(S, flags);
		static char sent[SENDFD_MAX_DATA], got[SENDFD_MAX_DATA];
		memset(sent, 'x', sizeof sent);
		size_t lengths[] = {0, 1, SENDFD_MAX_DATA};
		for (size_t i = 0; i < LEN(lengths); i++) {
			sendfd_info info;
			CHECK_OK(sendfds(to, S, NULL, 0, sent, lengths[i], &NOW));
			CHECK_ERR(sendfd_recv(inbox, &info, &NOW), EMSGSIZE);
			CHECK(info.nfds == 0 && info.len == lengths[i] && info.reply == -1);
			CHECK_EQ(sendfd_recvs(inbox, NULL, 0, got, sizeof got, &info, &NOW), 0);
			CHECK(info.nfds == 0 && info.len == lengths[i] && info.reply == -1 && info.pid == getpid());
			CHECK(memcmp(got, sent, lengths[i]) == 0);
		}
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}
