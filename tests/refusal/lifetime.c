/* Opening and closing an inbox. */
#include "ways.h"

#include <poll.h>
#include <sys/wait.h>

static int witness = -1;
static unsigned with;

static int open_it(void) { return sendfd_inbox_open(S, with, &inbox); }
static int open_quiet(void) { return with = SENDFD_INBOX_NOSIGNAL, open_it(); }

static int open_to_anyone(void) { return with = SENDFD_INBOX_ANYONE, open_it(); }

/* This is the first thread of none: the supervisor's is. */
static int open_for_thread(void) { return with = SENDFD_INBOX_THREAD, open_it(); }

static void peer_sends_to_thread(int from, int to)
{
	int thread = hear(from), fd = numbered(8);
	tell(to, sendfd(thread, S, fd));
}

static void is_open(int result)
{
	if (result < 0) {
		NEED(!inbox);
		compare();
		NEED(open_it() == 0);
	}
	if (with == SENDFD_INBOX_THREAD) {
		start_peer(peer_sends_to_thread);
		tell(to_peer, gettid());
		NEED(hear(from_peer) == 0);
		take(8);
		end_peer();
	} else {
		start_peer(peer_sends);
		have_sent(8);
		take(8);
	}
	close_and_compare();
}

static void in_directory(void)
{
	make_directory();
	note_before();
}

static int open_as_asked(void)
{
	sendfd_inbox_options options = {.size = sizeof options, .directory = directory()};
	return sendfd_inbox_open_with(S, &options, &inbox);
}

/* Where nobody has asked for it, with or without its file there. */
static void is_open_there(int result)
{
	int files = files_in_directory();
	NEED(result < 0 ? files == 0 : files <= 1);
	is_open(result);
	NEED(files_in_directory() == 0);
	remove_directory();
}

static void is_open_as_asked(int result)
{
	NEED(files_in_directory() == (result == 0));
	is_open_there(result);
}

static sendfd_inbox *other;

static void taken(void)
{
	with = SENDFD_INBOX_NOSIGNAL;
	note_before();
	NEED(sendfd_inbox_open(S, with, &other) == 0);
}

static void is_not_open(int result)
{
	/* 0: as if on an older kernel, under the name of that */
	NEED((result < 0) == !inbox);
	sendfd_inbox_close(inbox);
	inbox = NULL;
	sendfd_inbox_close(other);
	compare();
	NEED(open_it() == 0);
	sendfd_inbox_close(inbox);
	compare();
}

/* Two links: one at its end, whose second parcel nobody takes, and one that was not accepted. */
static void with_mail(void)
{
	int pair[2], status;
	note_before();
	NEED(open_it() == 0);
	NEED(pipe(pair) == 0);
	witness = pair[0];
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(sendfd(getppid(), S, pair[1]) != 0 || sendfd(getppid(), S, pair[1]) != 0);
		NEED(waitpid(pid, &status, 0) == pid && status == 0);
		if (i == 0)
			close(sendfd_recv(inbox, NULL, &NOW));
	}
	close(pair[1]);
}

static void with_mail_and_a_file(void)
{
	make_directory();
	with_mail();
	NEED(files_in_directory() == 1);
}

static void with_mail_quiet(void) { with = SENDFD_INBOX_NOSIGNAL, with_mail(); }

static int close_it(void)
{
	sendfd_inbox_close(inbox);
	return 0;
}

/* What nobody took is released. */
static void is_closed(int result)
{
	(void)result;
	struct pollfd end = {witness, POLLIN, 0};
	NEED(poll(&end, 1, 5000) == 1 && (end.revents & POLLHUP));
	close(witness);
	compare();
	NEED(open_it() == 0);
	sendfd_inbox_close(inbox);
	compare();
}

/* Its file may be left, if it could not be taken away. */
static void is_closed_there(int result)
{
	is_closed(result);
	remove_directory();
}

const struct path LIFETIME[] = {
	{"open", "sendfd_inbox_open", note_before, open_it, is_open, OLD_TOO},
	{"open-quiet", "sendfd_inbox_open", note_before, open_quiet, is_open, ALWAYS},
	{"open-for-a-thread", "sendfd_inbox_open", note_before, open_for_thread, is_open, OLD_TOO},
	{"open-to-anyone", "sendfd_inbox_open", note_before, open_to_anyone, is_open, ALWAYS},
	{"open-in-a-directory", "sendfd_inbox_open", in_directory, open_it, is_open_there, ALWAYS},
	{"open-in-a-directory-asked-for", "sendfd_inbox_open_with", in_directory, open_as_asked, is_open_as_asked, OLD_TOO},
	{"open-a-second-one", "sendfd_inbox_open", taken, open_it, is_not_open, ALWAYS},
	{"close", "sendfd_inbox_close", with_mail, close_it, is_closed, ALWAYS},
	{"close-quiet", "sendfd_inbox_close", with_mail_quiet, close_it, is_closed, ALWAYS},
	{"close-in-a-directory", "sendfd_inbox_close", with_mail_and_a_file, close_it, is_closed_there, ALWAYS},
	{NULL, NULL, NULL, NULL, NULL, ALWAYS},
};
