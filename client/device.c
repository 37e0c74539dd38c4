/* client/device.c */
#include "client/device.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

enum { DEVICES_MAX = 256 }; /* running clients of one home folder */

struct device {
	int fd; /* holds the lock */
	char *path;
	uint8_t seed[SEED_SIZE];
};

void device_close(struct device *d)
{
	if (d == NULL)
		return;
	if (d->fd >= 0)
		close(d->fd);
	OPENSSL_cleanse(d->seed, sizeof(d->seed));
	free(d->path);
	free(d);
}

static enum shoal_err make_key(const char *path, struct error *e)
{
	uint8_t seed[SEED_SIZE];

	random_bytes(seed, sizeof(seed));
	enum shoal_err rc = fs_create_file(path, seed, sizeof(seed), 0600, e);
	OPENSSL_cleanse(seed, sizeof(seed));
	return rc == SHOAL_EEXISTS ? SHOAL_OK : rc; /* another client was quicker */
}

/* SHOAL_EBUSY: somebody else holds it. */
static enum shoal_err try_key(struct device *d, struct error *e)
{
	d->fd = open(d->path, O_RDONLY | O_CLOEXEC);
	if (d->fd < 0 && errno == ENOENT) {
		enum shoal_err rc = make_key(d->path, e);
		if (rc != SHOAL_OK)
			return rc;
		d->fd = open(d->path, O_RDONLY | O_CLOEXEC);
	}
	if (d->fd < 0)
		return error_errno(e, "cannot open the device key '%s'", d->path);
	if (flock(d->fd, LOCK_EX | LOCK_NB) == 0)
		return fs_read_secret(d->path, d->seed, sizeof(d->seed), e);
	if (errno != EWOULDBLOCK)
		return error_errno(e, "cannot lock the device key '%s'", d->path);
	close(d->fd);
	d->fd = -1;
	return SHOAL_EBUSY;
}

struct device *device_open(const char *folder, struct error *e)
{
	if (fs_mkdirs(folder, 0700, e) != SHOAL_OK)
		return NULL;
	struct device *d = xalloc(sizeof(*d));
	d->fd = -1;
	for (unsigned i = 1; i <= DEVICES_MAX; i++) {
		free(d->path);
		d->path = i == 1 ? str_printf("%s/device.key", folder) : str_printf("%s/device-%u.key", folder, i);
		enum shoal_err rc = try_key(d, e);
		if (rc == SHOAL_OK)
			return d;
		if (rc != SHOAL_EBUSY) {
			if (e != NULL && rc != SHOAL_EDISKFULL)
				e->code = SHOAL_EIO; /* a key of another length or mode is no wrong argument */
			device_close(d);
			return NULL;
		}
	}
	error_set(e, SHOAL_EBUSY, "all %d device keys in '%s' are in use", DEVICES_MAX, folder);
	device_close(d);
	return NULL;
}

const uint8_t *device_seed(const struct device *d)
{
	return d->seed;
}

const char *device_path(const struct device *d)
{
	return d->path;
}
