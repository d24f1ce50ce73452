/* Loaded before a program (LD_PRELOAD): pidfds have no inodes of their own, as before Linux 6.9, and there are
 * none of peers that are gone and forgotten, as before 6.16. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PIDFS 0x50494446
#define ANONYMOUS_INODES 0x09041934
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int fstatfs(int fd, struct statfs *ret_fs)
{
	int result = (int)syscall(SYS_fstatfs, fd, ret_fs);
	if (result == 0 && ret_fs->f_type == PIDFS)
		ret_fs->f_type = ANONYMOUS_INODES;
	return result;
}

int getsockopt(int fd, int level, int option, void *ret_value, socklen_t *ret_len)
{
	int result = (int)syscall(SYS_getsockopt, fd, level, option, ret_value, ret_len);
	if (result != 0 || level != SOL_SOCKET || option != SO_PEERPIDFD)
		return result;
	int pidfd = *(int *)ret_value, before = errno;
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != ESRCH) {
		errno = before;
		return result;
	}
	close(pidfd);
	errno = EINVAL;
	return -1;
}
