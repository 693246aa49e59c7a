/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lets a mounted secure memory card issue itself from a batch in its store.
 *
 *	cc -I smcard-ioctl/include -o issue smcard-ioctl/examples/issue.c
 *	./issue /mnt/securecard/control app.batch
 *
 * Prints one JSON object. Exit codes: 0 done, 1 the card said no, 2 usage, 3 card or
 * daemon gone, 4 not permitted.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "smcard.h"

enum { DONE = 0, REFUSED = 1, USAGE = 2, GONE = 3, NOT_PERMITTED = 4 };

static int fail(const char *path, const char *what)
{
	int code = errno == EACCES || errno == EPERM ? NOT_PERMITTED : GONE;

	fprintf(stderr, "issue: %s: %s: %s\n", path, what, strerror(errno));
	return code;
}

/* poll(2) wakes for any result of this descriptor; RESULT says EAGAIN until ours is there. */
static int wait_for_result(int fd, struct smcard_result *result)
{
	const uint64_t ticket = result->ticket;

	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

		memset(result, 0, sizeof(*result));
		result->version = SMCARD_ABI_VERSION;
		result->ticket = ticket;
		if (ioctl(fd, SMCARD_RESULT, result) == 0)
			return 0;
		if (errno != EAGAIN)
			return -1;
		if (poll(&poll_fd, 1, 1000) < 0 && errno != EINTR)
			return -1;
		if (poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL)) {
			errno = ENODEV;
			return -1;
		}
	}
}

int main(int argc, char **argv)
{
	struct smcard_version version = { .version = SMCARD_ABI_VERSION };
	struct smcard_start start = { .version = SMCARD_ABI_VERSION };
	struct smcard_result result = { .version = SMCARD_ABI_VERSION };
	int fd, code;

	if (argc != 3 || argv[2][0] == '\0' || strlen(argv[2]) >= sizeof(start.name)) {
		fprintf(stderr, "usage: issue CONTROL NAME\n");
		return USAGE;
	}
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(argv[1], "open");
	if (ioctl(fd, SMCARD_VERSION, &version) < 0)
		return fail(argv[1], "VERSION");
	if (version.abi != SMCARD_ABI_VERSION) {
		fprintf(stderr, "issue: %s: speaks version %u, not %u\n", argv[1],
			(unsigned)version.abi, (unsigned)SMCARD_ABI_VERSION);
		return GONE;
	}

	start.selector = SMCARD_SELECT_NAME;
	memcpy(start.name, argv[2], strlen(argv[2]));
	if (ioctl(fd, SMCARD_START, &start) < 0)
		return fail(argv[1], "START");

	result.ticket = start.ticket;
	if (wait_for_result(fd, &result) < 0)
		return fail(argv[1], "RESULT");

	printf("{\"state\":\"%s\",\"sw\":\"%04x\",\"commands\":%u,\"given\":%u,\"exchanges\":%llu,\"error\":%d}\n",
	       result.state == SMCARD_STATE_DONE ? "done" : "failed", result.sw,
	       (unsigned)result.total, (unsigned)result.given,
	       (unsigned long long)result.exchanges, (int)result.result);
	if (result.result != 0)
		code = GONE;
	else
		code = result.state == SMCARD_STATE_DONE ? DONE : REFUSED;
	close(fd);
	return code;
}
