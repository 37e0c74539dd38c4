/* client/peer_auth.c */
#include "client/peer_auth.h"

#include "core/base/hash.h"

/* What is signed: the tuple's hash. */
static void digest(const struct auth_links *about, bool as_dialler, struct id32 *out)
{
	struct sha256 h;

	sha256_init(&h);
	tuple_add_str(&h, "shoal peer auth v1");
	tuple_add_str(&h, as_dialler ? "dialler" : "acceptor");
	tuple_add(&h, about->dialler_nonce.b, sizeof(about->dialler_nonce.b));
	tuple_add(&h, about->acceptor_nonce.b, sizeof(about->acceptor_nonce.b));
	tuple_add(&h, about->dialler.b, sizeof(about->dialler.b));
	tuple_add(&h, about->acceptor.b, sizeof(about->acceptor.b));
	sha256_final(&h, out);
}

bool auth_sign(struct buf *out, const struct tls_identity *me, const struct auth_links *about, bool as_dialler)
{
	struct id32 hash;
	uint8_t signature[SIGNATURE_SIZE];
	struct peer_auth auth = { .signature = { signature, sizeof(signature) } };

	digest(about, as_dialler, &hash);
	if (!key_public_raw(me->key, auth.public.b) || !key_sign(me->key, hash.b, sizeof(hash.b), signature))
		return false;
	size_t start = peer_begin(out, PEER_AUTH);
	peer_auth_put(out, &auth);
	peer_end(out, start, 0);
	return !out->failed;
}

bool auth_identity(const struct peer_auth *auth, struct id32 *identity)
{
	EVP_PKEY *key = key_from_public(auth->public.b);
	bool ok = key != NULL && key_identity(key, identity);

	EVP_PKEY_free(key);
	return ok;
}

bool auth_check(const struct peer_auth *auth, const struct auth_links *about, bool as_dialler)
{
	struct id32 hash;
	EVP_PKEY *key = key_from_public(auth->public.b);

	digest(about, as_dialler, &hash);
	bool ok = key != NULL && auth->signature.len == SIGNATURE_SIZE &&
	          key_verify(key, hash.b, sizeof(hash.b), auth->signature.data);
	EVP_PKEY_free(key);
	return ok;
}
