/* On a kernel that cannot be told to put a message on a sequenced-packet socket only: it says EINVAL, and the
 * library looks at the type itself. */
#include "harness.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static void refuse_flag_of_sendmsg(unsigned flag)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *asks(void *outbox)
{
	char byte = 'q';
	struct timespec limit = in_ms(10000);
	CHECK_EQ(sendfd_outbox_request(outbox, NULL, 0, &byte, 1, NULL, 0, &byte, 1, NULL, &limit), 0);
	CHECK_EQ(byte, 'a');
	return NULL;
}

TEST_NEEDS(parcels_and_answers_go_out_all_the_same, SECCOMP)
{
	refuse_flag_of_sendmsg(MSG_FASTOPEN);
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	sendfd_outbox *outbox;
	for (long n = 1; n <= 3; n++) {
		send_memfd(getpid(), n);
		expect_number(inbox, n);
	}
	CHECK_ERR(sendfd(getpid(), S, sendfd_inbox_fileno(inbox) + 1000), EBADF);
	CHECK_OK(sendfd_outbox_open(getpid(), S, &NOW, &outbox));
	for (int i = 0; i < 2; i++) {
		struct timespec limit = in_ms(10000);
		pthread_t asker = thread_start(asks, outbox);
		sendfd_info info;
		char byte;
		CHECK_EQ(sendfd_recvs(inbox, NULL, 0, &byte, 1, &info, &limit), 0);
		CHECK_OK(sendfd_reply(info.reply, NULL, 0, "a", 1));
		thread_join(asker);
		close(info.reply);
	}
	sendfd_outbox_close(outbox);
	sendfd_inbox_close(inbox);
}

/* What the kernel would have refused is refused, before and after the library knows this kernel. */
TEST_NEEDS(nothing_goes_out_over_sockets_of_other_types, SECCOMP)
{
	int stream[2], datagram[2], pair[2];
	char byte;
	refuse_flag_of_sendmsg(MSG_FASTOPEN);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagram) == 0);
	for (int known = 0; known < 2; known++) {
		CHECK_ERR(sendfd_reply(stream[0], NULL, 0, "x", 1), EINVAL);
		CHECK_ERR(sendfd_reply(datagram[0], NULL, 0, "x", 1), EINVAL);
		CHECK(recv(stream[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
		CHECK(recv(datagram[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
		CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		CHECK_OK(sendfd_reply(pair[0], NULL, 0, "x", 1));
		CHECK_EQ(recv(pair[1], &byte, 1, MSG_DONTWAIT), 1);
		close(pair[0]);
		close(pair[1]);
	}
	close(stream[0]);
	close(stream[1]);
	close(datagram[0]);
	close(datagram[1]);
}

/* It is asked once. */
TEST_NEEDS(the_kernel_is_known_from_then_on, SECCOMP | PTRACE)
{
	enum { SENT = 10 };
	sendfd_inbox *inbox = open_inbox(S, SENDFD_INBOX_NOSIGNAL);
	pid_t to = getpid(), pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		refuse_flag_of_sendmsg(MSG_FASTOPEN);
		CHECK_OK(sendfd(to, S, 2));
		be_traced();
		mark();
		for (int i = 0; i < SENT; i++)
			CHECK_OK(sendfd(to, S, 2));
		mark();
		_exit(0);
	}
	long others;
	CHECK_EQ(trace_calls(pid, SYS_sendmsg, &others), SENT);
	for (int i = 0; i <= SENT; i++)
		close(recv_soon(inbox, NULL));
	expect_empty(inbox);
	sendfd_inbox_close(inbox);
}
