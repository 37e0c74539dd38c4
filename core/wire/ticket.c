/* core/wire/ticket.c */
#include "core/wire/ticket.h"

#include <string.h>

#include <openssl/crypto.h>

#include "core/base/crypto.h"
#include "core/base/planted.h"

CODEC_DEFINE(ticket, TICKET_FIELDS)
CODEC_DEFINE(token, TOKEN_FIELDS)

enum { TOKEN_MAC_SIZE = 32 };

static const char ticket_label[] = "shoal ticket v1", token_label[] = "shoal token v1";

/* label, fields: what is signed. The label is not sent. */
static void put_signed_part(struct buf *b, const char *label, struct slice body)
{
	buf_put_str(b, label, strlen(label));
	buf_put(b, body.data, body.len);
}

enum shoal_err ticket_seal(struct buf *b, const struct ticket *t, EVP_PKEY *key)
{
	struct buf body = { 0 }, whole = { 0 };
	uint8_t sig[SIGNATURE_SIZE];
	enum shoal_err rc = SHOAL_OK;

	ticket_put(&body, t);
	put_signed_part(&whole, ticket_label, slice_of(body.data, body.len));
	if (body.failed || whole.failed || !key_sign(key, whole.data, whole.len, sig))
		rc = SHOAL_EINTERNAL;
	if (rc == SHOAL_OK) {
		buf_put(b, body.data, body.len);
		buf_put(b, sig, sizeof(sig));
	}
	buf_free(&body);
	buf_free(&whole);
	return rc;
}

enum shoal_err ticket_open(struct slice sealed, EVP_PKEY *key, struct ticket *t)
{
	if (sealed.len < SIGNATURE_SIZE || sealed.len > TICKET_MAX)
		return SHOAL_EDENIED;
	struct slice body = slice_of(sealed.data, sealed.len - SIGNATURE_SIZE);
	struct cursor c = cursor_of(body.data, body.len);
	struct buf whole = { 0 };

	ticket_get(&c, t);
	put_signed_part(&whole, ticket_label, body);
	bool ok = cursor_end(&c) == SHOAL_OK && !whole.failed &&
	          (key_verify(key, whole.data, whole.len, sealed.data + body.len) || PLANTED(ticket_unsigned));
	buf_free(&whole);
	return ok ? SHOAL_OK : SHOAL_EDENIED;
}

bool ticket_valid(const struct ticket *t, const struct id32 *device, uint64_t wall_ms)
{
	return id32_eq(&t->device, device) && wall_ms + TICKET_GRACE_MS >= t->not_before_ms &&
	       wall_ms <= t->not_after_ms + TICKET_GRACE_MS;
}

static bool token_mac(struct slice body, const uint8_t key[32], uint8_t mac[TOKEN_MAC_SIZE])
{
	struct buf whole = { 0 };
	put_signed_part(&whole, token_label, body);
	bool ok = !whole.failed && hmac_sha256(key, whole.data, whole.len, mac);
	buf_free(&whole);
	return ok;
}

enum shoal_err token_seal(struct buf *b, const struct token *t, const uint8_t key[32])
{
	struct buf body = { 0 };
	uint8_t mac[TOKEN_MAC_SIZE];

	token_put(&body, t);
	bool ok = !body.failed && token_mac(slice_of(body.data, body.len), key, mac);
	if (ok) {
		buf_put(b, body.data, body.len);
		buf_put(b, mac, sizeof(mac));
	}
	buf_free(&body);
	return ok ? SHOAL_OK : SHOAL_EINTERNAL;
}

enum shoal_err token_open(struct slice sealed, const uint8_t key[32], struct token *t)
{
	uint8_t mac[TOKEN_MAC_SIZE];
	if (sealed.len < TOKEN_MAC_SIZE || sealed.len > TOKEN_MAX)
		return SHOAL_EAUTH;
	struct slice body = slice_of(sealed.data, sealed.len - TOKEN_MAC_SIZE);
	struct cursor c = cursor_of(body.data, body.len);

	token_get(&c, t);
	if (cursor_end(&c) != SHOAL_OK || !token_mac(body, key, mac))
		return SHOAL_EAUTH;
	return CRYPTO_memcmp(mac, sealed.data + body.len, TOKEN_MAC_SIZE) == 0 ? SHOAL_OK : SHOAL_EAUTH;
}
