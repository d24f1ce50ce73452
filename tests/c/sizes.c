/* Parcels of every size. */
#include "harness.h"

static pid_t target;
static const size_t LENGTHS[] = {0, 1, 15, 16, 4095, 4096, 65535, SENDFD_MAX_DATA};
static const size_t COUNTS[] = {1, 2, 3, 127, 251, SENDFD_MAX_FDS};

static unsigned char byte_at(size_t len, size_t i) { return (unsigned char)(len * 31 + i * 7 + i / 251); }

static void send_all_sizes(void *arg)
{
	static unsigned char data[SENDFD_MAX_DATA];
	int fds[SENDFD_MAX_FDS];
	(void)arg;
	for (int i = 0; i < SENDFD_MAX_FDS; i++)
		fds[i] = make_memfd(i);
	for (size_t l = 0; l < LEN(LENGTHS); l++)
		for (size_t c = 0; c < LEN(COUNTS); c++) {
			for (size_t i = 0; i < LENGTHS[l]; i++)
				data[i] = byte_at(LENGTHS[l], i);
			CHECK_OK(sendfds(target, S, fds, COUNTS[c], LENGTHS[l] ? data : NULL, LENGTHS[l], NULL));
		}
}

TEST(every_size_arrives_whole)
{
	static unsigned char data[SENDFD_MAX_DATA];
	int fds[SENDFD_MAX_FDS];
	target = getpid();
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		struct child sender = fork_child(send_all_sizes, NULL);
		for (size_t l = 0; l < LEN(LENGTHS); l++)
			for (size_t c = 0; c < LEN(COUNTS); c++) {
				sendfd_info info;
				int lowest = lowest_free();
				CHECK_EQ(sendfd_recvs(inbox, fds, SENDFD_MAX_FDS, data, sizeof data, &info, NULL),
					 (int)COUNTS[c]);
				CHECK(info.nfds == COUNTS[c] && info.len == LENGTHS[l] && info.pid == sender.pid);
				CHECK(fds[0] == lowest || l + c == 0);
				for (size_t i = 0; i < COUNTS[c]; i++) {
					CHECK(is_cloexec(fds[i]));
					take_number(fds[i], (long)i); /* in the order in which they were sent */
				}
				for (size_t i = 0; i < LENGTHS[l]; i++)
					CHECK(data[i] == byte_at(LENGTHS[l], i), "byte %zu of %zu", i, LENGTHS[l]);
			}
		child_join(&sender);
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* Room that is exactly enough, and room far beyond what a parcel can hold. */
TEST(exact_and_huge_room)
{
	static unsigned char data[SENDFD_MAX_DATA * 2];
	int fds[1000];
	sendfd_inbox *inbox = open_inbox(S, 0);
	target = getpid();
	struct child sender = fork_child(send_all_sizes, NULL);
	for (size_t l = 0; l < LEN(LENGTHS); l++)
		for (size_t c = 0; c < LEN(COUNTS); c++) {
			bool exact = (l + c) % 2;
			CHECK_EQ(sendfd_recvs(inbox, fds, exact ? COUNTS[c] : 1000,
					      exact && !LENGTHS[l] ? NULL : data, exact ? LENGTHS[l] : sizeof data,
					      NULL, NULL),
				 (int)COUNTS[c]);
			for (size_t i = 0; i < COUNTS[c]; i++)
				take_number(fds[i], (long)i);
		}
	child_join(&sender);
	sendfd_inbox_close(inbox);
}

TEST(recv_drops_the_bytes_but_tells_how_many)
{
	static char data[SENDFD_MAX_DATA];
	size_t lengths[] = {0, 1, 1000, SENDFD_MAX_DATA};
	for (unsigned flags = 0; flags <= SENDFD_INBOX_NOSIGNAL; flags += SENDFD_INBOX_NOSIGNAL) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		for (size_t i = 0; i < LEN(lengths); i++) {
			int fd = make_memfd((long)i);
			CHECK_OK(sendfds(getpid(), S, &fd, 1, data, lengths[i], &NOW));
			close(fd);
			sendfd_info info;
			take_number(recv_soon(inbox, &info), (long)i);
			CHECK_EQ(info.len, lengths[i]);
			CHECK_EQ(info.nfds, 1);
		}
		expect_empty(inbox);
		sendfd_inbox_close(inbox);
	}
}

/* The same descriptor many times in one parcel, and descriptors of every kind. */
TEST(duplicates_and_odd_descriptors)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	int fd = make_memfd(5), same[3] = {fd, fd, fd}, got[8], p[2];
	CHECK_OK(sendfds(getpid(), S, same, 3, NULL, 0, &NOW));
	CHECK_EQ(sendfd_recvs(inbox, got, 8, NULL, 0, NULL, &NOW), 3);
	for (int i = 0; i < 3; i++) {
		CHECK(same_description(got[i], fd));
		close(got[i]);
	}
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	sigset_t set = set_of(SIGUSR2, 0);
	int odd[] = {open("/", O_PATH | O_CLOEXEC), open("/proc/self", O_DIRECTORY | O_CLOEXEC), p[0], p[1],
		     signalfd(-1, &set, SFD_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC),
		     socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	CHECK_OK(sendfds(getpid(), S, odd, LEN(odd), NULL, 0, &NOW));
	CHECK_EQ(sendfd_recvs(inbox, got, 8, NULL, 0, NULL, &NOW), (int)LEN(odd));
	for (size_t i = 0; i < LEN(odd); i++) {
		struct stat one, other;
		CHECK(fstat(odd[i], &one) == 0 && fstat(got[i], &other) == 0);
		CHECK(one.st_ino == other.st_ino && one.st_dev == other.st_dev && one.st_mode == other.st_mode);
		close(odd[i]);
		close(got[i]);
	}
	close(fd);
	sendfd_inbox_close(inbox);
}
