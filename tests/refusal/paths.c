/* The ways through the library, each prepared with nothing refused, acted, and verified with nothing refused. */
#include "refusal.h"

#include <dirent.h>
#include <poll.h>
#include <sendfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define S SENDFD_SIGNO

static const struct timespec NOW = {0, 0}, SOON = {1, 0}, BRIEFLY = {0, 30000000};

static sendfd_inbox *inbox;
static pid_t peer;
static int to_peer, from_peer, target_pidfd, witness = -1, before;
static uint64_t mask_before;
static bool by_pidfd;

/* --- helpers ----------------------------------------------------------------------------------------- */
static int count_fds(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/fd");
	NEED(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static uint64_t mask_now(void)
{
	uint64_t mask;
	NEED(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask) == 0);
	return mask;
}

static int numbered(int number)
{
	int fd = memfd_create("refusal", MFD_CLOEXEC);
	NEED(fd >= 0 && write(fd, &number, sizeof number) == sizeof number);
	return fd;
}

static int number_of(int fd)
{
	int number = -1;
	NEED(pread(fd, &number, sizeof number, 0) == sizeof number);
	close(fd);
	return number;
}

static void tell(int fd, int value) { NEED(write(fd, &value, sizeof value) == sizeof value); }

static int hear(int fd)
{
	int value;
	NEED(read(fd, &value, sizeof value) == sizeof value);
	return value;
}

/* Another process, which does as it is told: nothing of its own is refused. */
static void start_peer(void (*part)(int from, int to))
{
	int down[2], up[2];
	NEED(pipe(down) == 0 && pipe(up) == 0);
	peer = fork();
	NEED(peer >= 0);
	if (peer == 0) {
		alarm(20);
		close(down[1]);
		close(up[0]);
		part(down[0], up[1]);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	to_peer = down[1];
	from_peer = up[0];
}

static void end_peer(void)
{
	int status;
	close(to_peer);
	NEED(waitpid(peer, &status, 0) == peer && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(from_peer);
}

/* --- sending: the peer receives ---------------------------------------------------------------------- */
/* Told 1: says how many parcels there are, and the number in the last; told 0: ends. */
static void peer_receives(int from, int to)
{
	sendfd_inbox *mine;
	NEED(sendfd_inbox_open(S, 0, &mine) == 0);
	tell(to, 0);
	while (hear(from)) {
		int count = 0, last = -1, fds[8], n;
		while ((n = sendfd_recvs(mine, fds, 8, (char[8192]){0}, 8192, NULL, &NOW)) > 0) {
			count++;
			last = number_of(fds[0]);
			while (n > 1)
				close(fds[--n]);
		}
		NEED(n == -EAGAIN);
		tell(to, count);
		tell(to, last);
	}
	sendfd_inbox_close(mine);
}

static void expect_at_peer(int count, int last)
{
	tell(to_peer, 1);
	NEED(hear(from_peer) == count);
	NEED(hear(from_peer) == last);
}

static int send_number(int number)
{
	int fd = numbered(number), result = sendfd(peer, S, fd);
	close(fd);
	return result;
}

static int sent_fd;

static void prepare_sender(void)
{
	start_peer(peer_receives);
	hear(from_peer);
	sent_fd = numbered(7);
	before = count_fds();
}

static void prepare_link(void)
{
	prepare_sender();
	NEED(send_number(1) == 0);
	expect_at_peer(1, 1);
}

static void prepare_idle_link(void)
{
	prepare_link();
	poll(NULL, 0, 130); /* a link that rests for more than 100 ms is looked at before its next use */
}

static void prepare_pidfd(void)
{
	prepare_sender();
	target_pidfd = (int)syscall(SYS_pidfd_open, peer, 0);
	before++;
	by_pidfd = true;
}

static void prepare_full(void)
{
	prepare_link();
	while (send_number(2) == 0)
		;
	NEED(errno == EAGAIN);
}

static int act_send(void) { return sendfd(peer, S, sent_fd); }
static int act_send_pidfd(void) { return sendfd_pidfd(target_pidfd, S, sent_fd); }

static int act_sends(void)
{
	return sendfds(peer, S, (int[]){sent_fd, sent_fd, sent_fd}, 3, (char[5000]){0}, 5000, &SOON);
}

static int act_send_full(void) { return sendfds(peer, S, &sent_fd, 1, NULL, 0, &BRIEFLY); }

/* Sent and there, or not sent and not there; and the next one, by pid, arrives. Links are kept. */
static void verify_send(int result)
{
	expect_at_peer(result == 0, result == 0 ? 7 : -1);
	NEED(send_number(9) == 0);
	expect_at_peer(1, 9);
	int links = count_fds() - before;
	NEED(links == 1 || (links == 2 && by_pidfd));
	tell(to_peer, 0);
	end_peer();
}

static void verify_send_full(int result)
{
	tell(to_peer, 1); /* what filled it; and ours, if a new link was made for it */
	NEED(hear(from_peer) > 100);
	NEED(hear(from_peer) == (result == 0 ? 7 : 2));
	verify_send(-1);
}

/* --- receiving: the peer sends ------------------------------------------------------------------------- */
/* Sends what it is told, to its parent, as the first of three. */
static void peer_sends(int from, int to)
{
	int number;
	while ((number = hear(from))) {
		int fd = numbered(number);
		NEED(sendfds(getppid(), S, (int[]){fd, 2, 2}, number == 77 ? 3 : 1, "data", 4, &SOON) == 0);
		close(fd);
		tell(to, 0);
	}
}

static void have_sent(int number)
{
	tell(to_peer, number);
	hear(from_peer);
}

static void open_it(unsigned with)
{
	mask_before = mask_now();
	before = count_fds();
	NEED(sendfd_inbox_open(S, with, &inbox) == 0);
	start_peer(peer_sends);
}

static void prepare_first_mail(void) { open_it(0), have_sent(7); }
static void prepare_first_mail_quiet(void) { open_it(SENDFD_INBOX_NOSIGNAL), have_sent(7); }

static void take(int number)
{
	int fd = sendfd_recv(inbox, NULL, &SOON);
	NEED(fd >= 0 && number_of(fd) == number);
}

static void prepare_later_mail(void) { prepare_first_mail(), take(7), have_sent(7); }
static void prepare_later_mail_quiet(void) { prepare_first_mail_quiet(), take(7), have_sent(7); }
static void prepare_three(void) { open_it(0), have_sent(77); }
static void prepare_no_mail(void) { prepare_first_mail(), take(7); }
static void prepare_no_mail_quiet(void) { prepare_first_mail_quiet(), take(7); }

static void prepare_end(void)
{
	prepare_no_mail();
	tell(to_peer, 0);
	end_peer();
	peer = 0;
}

static int act_recv(void) { return sendfd_recv(inbox, NULL, &NOW); }
static int act_wait(void) { return sendfd_recv(inbox, NULL, &BRIEFLY); }

static int three[3];
static int act_recvs(void)
{
	char data[4];
	return sendfd_recvs(inbox, three, 3, data, 4, NULL, &NOW);
}

static siginfo_t signal_found;
static struct signalfd_siginfo read_found;

static void prepare_claim(void)
{
	sigset_t set;
	prepare_first_mail();
	sigemptyset(&set);
	sigaddset(&set, S);
	sigaddset(&set, SIGIO);
	NEED(sigtimedwait(&set, &signal_found, &SOON) > 0);
}

static void prepare_claim_signalfd(void)
{
	sigset_t set;
	prepare_first_mail();
	sigemptyset(&set);
	sigaddset(&set, S);
	sigaddset(&set, SIGIO);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	NEED(fd >= 0 && read(fd, &read_found, sizeof read_found) == sizeof read_found);
	close(fd);
}

static int act_claim(void) { return sendfd_claim(inbox, &signal_found, NULL); }
static int act_claim_signalfd(void) { return sendfd_claim_signalfd(inbox, &read_found, NULL); }

static void close_and_compare(void)
{
	if (peer) {
		tell(to_peer, 0);
		end_peer();
	}
	sendfd_inbox_close(inbox);
	NEED(count_fds() == before);
	NEED(mask_now() == mask_before);
}

/* Received, or still there. */
static void verify_recv(int result)
{
	if (result >= 0)
		NEED(number_of(result) == 7);
	else
		take(7);
	NEED(sendfd_recv(inbox, NULL, &NOW) == -EAGAIN);
	have_sent(8);
	take(8);
	close_and_compare();
}

static void verify_recvs(int result)
{
	if (result < 0)
		NEED(act_recvs() == 3);
	NEED(result < 0 || result == 3);
	NEED(number_of(three[0]) == 77);
	close(three[1]);
	close(three[2]);
	close_and_compare();
}

static void verify_nothing(int result)
{
	NEED(result < 0);
	if (peer) {
		have_sent(8);
		take(8);
	}
	NEED(sendfd_recv(inbox, NULL, &NOW) == -EAGAIN);
	close_and_compare();
}

/* --- opening and closing --------------------------------------------------------------------------------- */
static void prepare_open(void)
{
	inbox = NULL;
	mask_before = mask_now();
	before = count_fds();
}

static int act_open(void) { return sendfd_inbox_open(S, 0, &inbox); }
static int act_open_quiet(void) { return sendfd_inbox_open(S, SENDFD_INBOX_NOSIGNAL, &inbox); }
static int act_open_thread(void) { return sendfd_inbox_open(S, SENDFD_INBOX_THREAD, &inbox); }

static void verify_open(int result)
{
	if (result < 0) {
		NEED(!inbox && count_fds() == before && mask_now() == mask_before);
		NEED(sendfd_inbox_open(S, 0, &inbox) == 0);
	}
	start_peer(peer_sends);
	have_sent(8);
	take(8);
	close_and_compare();
}

static void verify_open_thread(int result)
{
	if (result < 0)
		NEED(!inbox && count_fds() == before && mask_now() == mask_before);
	if (result == 0)
		sendfd_inbox_close(inbox);
	NEED(count_fds() == before && mask_now() == mask_before);
}

/* One link, and on it a parcel that nobody takes. */
static void prepare_close(unsigned with)
{
	int pair[2], status;
	prepare_open();
	NEED(sendfd_inbox_open(S, with, &inbox) == 0);
	NEED(pipe(pair) == 0);
	witness = pair[0];
	pid_t pid = fork();
	if (pid == 0)
		_exit(sendfd(getppid(), S, pair[1]) != 0 || sendfd(getppid(), S, pair[1]) != 0);
	NEED(waitpid(pid, &status, 0) == pid && status == 0);
	close(pair[1]);
	close(sendfd_recv(inbox, NULL, &NOW));
}

static void prepare_close_signals(void) { prepare_close(0); }
static void prepare_close_quiet(void) { prepare_close(SENDFD_INBOX_NOSIGNAL); }

static int act_close(void)
{
	sendfd_inbox_close(inbox);
	return 0;
}

/* What nobody took is released. */
static void verify_close(int result)
{
	(void)result;
	struct pollfd end = {witness, POLLIN, 0};
	NEED(poll(&end, 1, 5000) == 1 && (end.revents & POLLHUP));
	close(witness);
	NEED(mask_now() == mask_before);
	NEED(count_fds() == before);
}

#define SEND(name, function, prepare, act)                                                                    \
	{                                                                                                     \
		name, function, prepare, act, verify_send                                                     \
	}
#define RECV(name, function, prepare, act)                                                                    \
	{                                                                                                     \
		name, function, prepare, act, verify_recv                                                     \
	}

const struct path PATHS[] = {
	SEND("first send", "sendfd", prepare_sender, act_send),
	SEND("later send", "sendfd", prepare_link, act_send),
	SEND("send after a rest", "sendfd", prepare_idle_link, act_send),
	SEND("first send, waiting", "sendfds", prepare_sender, act_sends),
	SEND("later send, waiting", "sendfds", prepare_link, act_sends),
	SEND("send by pidfd", "sendfd_pidfd", prepare_pidfd, act_send_pidfd),
	{"send to a full queue", "sendfds", prepare_full, act_send_full, verify_send_full},
	RECV("first mail", "sendfd_recv", prepare_first_mail, act_recv),
	RECV("first mail, quiet", "sendfd_recv", prepare_first_mail_quiet, act_recv),
	RECV("later mail", "sendfd_recv", prepare_later_mail, act_recv),
	RECV("later mail, quiet", "sendfd_recv", prepare_later_mail_quiet, act_recv),
	RECV("mail, waiting", "sendfd_recv", prepare_first_mail, act_wait),
	RECV("mail, waiting, quiet", "sendfd_recv", prepare_first_mail_quiet, act_wait),
	RECV("claim", "sendfd_claim", prepare_claim, act_claim),
	RECV("claim by signalfd", "sendfd_claim_signalfd", prepare_claim_signalfd, act_claim_signalfd),
	{"three and data", "sendfd_recvs", prepare_three, act_recvs, verify_recvs},
	{"no mail", "sendfd_recv", prepare_no_mail, act_wait, verify_nothing},
	{"no mail, quiet", "sendfd_recv", prepare_no_mail_quiet, act_wait, verify_nothing},
	{"a sender's end", "sendfd_recv", prepare_end, act_recv, verify_nothing},
	{"open", "sendfd_inbox_open", prepare_open, act_open, verify_open},
	{"open quiet", "sendfd_inbox_open", prepare_open, act_open_quiet, verify_open},
	{"open for a thread", "sendfd_inbox_open", prepare_open, act_open_thread, verify_open_thread},
	{"close", "sendfd_inbox_close", prepare_close_signals, act_close, verify_close},
	{"close quiet", "sendfd_inbox_close", prepare_close_quiet, act_close, verify_close},
};
const size_t PATH_COUNT = sizeof PATHS / sizeof *PATHS;
