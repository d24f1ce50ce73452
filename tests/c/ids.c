/* Each parcel has an id that no other parcel of its inbox has. */
#include "harness.h"

static void send_two(int sig, size_t first, size_t second)
{
	int fds[3] = {2, 2, 2};
	CHECK_OK(sendfds(getpid(), sig, fds, first, NULL, 0, &NOW));
	CHECK_OK(sendfds(getpid(), sig, fds, second, NULL, 0, &NOW));
}

static void take(sendfd_inbox *inbox, sendfd_info *info)
{
	int fds[3], count = CHECK_OK(sendfd_recvs(inbox, fds, 3, NULL, 0, info, &NOW));
	CHECK_EQ(info->nfds, count);
	while (count)
		close(fds[--count]);
}

TEST(no_two_parcels_have_one_id)
{
	enum { ROUNDS = 100 };
	for (unsigned flags = 0; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags), *other = open_inbox(S + 1, flags);
		uint64_t ids[2 * ROUNDS];
		for (int i = 0; i < 2 * ROUNDS; i += 2) {
			sendfd_info info, again;
			send_two(S, 1, 1);
			send_two(S + 1, 1, 1); /* what another inbox gets makes no difference */
			take(other, &info);
			take(other, &info);
			take(inbox, &info);
			ids[i] = info.id;
			if (i % 3 == 0) {
				CHECK_ERR(sendfd_recvs(inbox, NULL, 0, NULL, 0, &again, &NOW), EMSGSIZE);
				take(inbox, &info);
				CHECK(again.id == info.id, "it keeps its id while it is kept");
			} else {
				close(recv_soon(inbox, &info));
			}
			ids[i + 1] = info.id;
			for (int j = 0; j <= i; j++)
				CHECK(ids[j] && ids[j] != ids[i + 1] && (j == i || ids[j] != ids[i]));
		}
		sendfd_inbox_close(inbox);
		sendfd_inbox_close(other);
	}
}

TEST(a_kept_parcel_keeps_its_id)
{
	for (unsigned flags = 0; flags < 4; flags++) {
		sendfd_inbox *inbox = open_inbox(S, flags);
		sendfd_info first, again, last;
		send_two(S, 2, 3);
		CHECK_ERR(sendfd_recv(inbox, &first, &NOW), EMSGSIZE);
		for (int i = 0; i < 5; i++) {
			CHECK_ERR(sendfd_recv(inbox, &again, &NOW), EMSGSIZE);
			CHECK(again.id == first.id && again.nfds == 2);
		}
		take(inbox, &again);
		CHECK(again.id == first.id);
		CHECK_ERR(sendfd_recv(inbox, &last, &NOW), EMSGSIZE);
		CHECK(last.id != first.id && last.nfds == 3);
		take(inbox, &last);
		sendfd_inbox_close(inbox);
	}
}

TEST(room_for_later_is_zero_and_no_answer_is_awaited)
{
	sendfd_inbox *inbox = open_inbox(S, 0);
	sendfd_info info;
	memset(&info, 0x55, sizeof info);
	CHECK_OK(sendfd(getpid(), S, 2));
	close(recv_soon(inbox, &info));
	CHECK(info.reply == -1 && info.id != 0);
	for (int i = 0; i < 4; i++)
		CHECK(info.reserved[i] == 0);
	sendfd_inbox_close(inbox);
}
