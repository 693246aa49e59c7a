/*
 * Lets pjdfstest run on a folder that can have no folders.
 *
 * pjdfstest gives each case a new folder of its own, two levels below the path it was started with. This library,
 * loaded with LD_PRELOAD, lets it make these folders on the host and mounts the folder under test over each of them,
 * so that the case itself, unchanged, runs in the folder under test. A case's own mkdir goes to the file system under
 * test as it is. To be run in a mount namespace of its own, with which the mounts go. The mode that pjdfstest wants to
 * give to its folder, 0755, is to be that of the folder under test already, whose mode is its configuration's.
 *
 * FLAT_BASE is the path pjdfstest was started with, FLAT_TARGET the folder under test; both absolute and without links.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int depth_below(const char *base, const char *path)
{
	size_t length = strlen(base);
	if (strncmp(path, base, length) != 0 || path[length] != '/')
		return 0;
	int depth = 0;
	for (path += length; *path; path++)
		depth += *path == '/' && path[1] != '/' && path[1] != '\0';
	return depth;
}

/* True for the folder of a case. */
static int is_case(const char *path)
{
	const char *base = getenv("FLAT_BASE");
	return base && depth_below(base, path) == 2;
}

int fchmodat(int folder, const char *path, mode_t mode, int flags)
{
	int (*real)(int, const char *, mode_t, int) = (int (*)(int, const char *, mode_t, int))dlsym(RTLD_NEXT, "fchmodat");
	return is_case(path) && mode == 0755 ? 0 : real(folder, path, mode, flags);
}

int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t) = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir");
	const char *target = getenv("FLAT_TARGET");
	int done = real(path, mode);
	if (done == 0 && is_case(path) && (!target || mount(target, path, NULL, MS_BIND, NULL) != 0)) {
		/* Without the mount the cases would test the host and pass. */
		perror("flat: mount");
		_exit(70);
	}
	return done;
}
