/* tracker/cluster_key.c */
#include "tracker/cluster_key.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/base/fs.h"

enum { SECRET_SIZE = 32 };

char *cluster_key_default_path(void)
{
	char *state = fs_xdg(XDG_STATE, NULL);
	char *path = state != NULL ? str_printf("%s/cluster.key", state) : NULL;
	free(state);
	return path;
}

enum shoal_err cluster_key_make(const char *path, struct error *e)
{
	uint8_t secret[SECRET_SIZE];
	char *folder = fs_dirname(path);
	enum shoal_err rc = fs_mkdirs(folder, 0700, e);

	if (rc == SHOAL_OK) {
		random_bytes(secret, sizeof(secret));
		rc = fs_create_file(path, secret, sizeof(secret), 0600, e);
		OPENSSL_cleanse(secret, sizeof(secret));
	}
	free(folder);
	return rc;
}

enum shoal_err cluster_key_read(const char *path, struct cluster_keys *out, struct error *e)
{
	uint8_t secret[SECRET_SIZE];
	enum shoal_err rc = fs_read_secret(path, secret, sizeof(secret), e);

	if (rc != SHOAL_OK)
		return rc;
	if (!hkdf_derive(secret, sizeof(secret), "shoal cluster identity v1", out->identity_seed, SEED_SIZE) ||
	    !hkdf_derive(secret, sizeof(secret), "shoal ticket key v1", out->ticket_seed, SEED_SIZE) ||
	    !hkdf_derive(secret, sizeof(secret), "shoal token key v1", out->token_key, sizeof(out->token_key)))
		rc = error_set(e, SHOAL_EINTERNAL, "cannot derive keys from '%s'", path);
	OPENSSL_cleanse(secret, sizeof(secret));
	return rc;
}

enum shoal_err cluster_key_load(const char *path, struct cluster_keys *out, bool *made, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;

	*made = false;
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		rc = cluster_key_make(path, e);
		*made = rc == SHOAL_OK;
		if (rc == SHOAL_EEXISTS) /* somebody was quicker: theirs it is */
			rc = SHOAL_OK;
	}
	return rc == SHOAL_OK ? cluster_key_read(path, out, e) : rc;
}

void cluster_keys_wipe(struct cluster_keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}
