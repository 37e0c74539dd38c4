/* tests/unit/wire/test_peer_msg.c - messages between peers, and the words that trackers sign */
#include "core/base/crypto.h"
#include "core/wire/peer_msg.h"
#include "core/wire/ticket.h"
#include "tests/unit/check.h"

static enum shoal_err head_is(uint32_t length, uint8_t type, uint32_t *body_len)
{
	struct buf b = { 0 };
	enum peer_type got;
	buf_put_u32(&b, length);
	buf_put_u8(&b, type);
	enum shoal_err rc = peer_head_check(b.data, &got, body_len);
	CHECK(rc != SHOAL_OK || got == (enum peer_type)type);
	buf_free(&b);
	return rc;
}

static void the_door_knows_every_type(void)
{
	static const struct {
		uint8_t type;
		uint32_t least, most;
	} table[] = {
#define X(num, NAME, word, fields, least_, most_) { num, least_, most_ },
		PEER_MSGS(X)
#undef X
	};
	uint32_t len;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CHECK_INT(head_is(table[i].least + 1, table[i].type, &len), ==, SHOAL_OK);
		CHECK_INT(len, ==, table[i].least);
		CHECK_INT(head_is(table[i].most + 1, table[i].type, &len), ==, SHOAL_OK);
		CHECK_INT(head_is(table[i].most + 2, table[i].type, &len), ==, SHOAL_EPROTO);
		CHECK_INT(head_is(table[i].least, table[i].type, &len), ==, SHOAL_EPROTO);
	}
	CHECK_INT(head_is(0, 0, &len), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(UINT32_MAX, 7, &len), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(1, PEER_TYPES, &len), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(1, 255, &len), ==, SHOAL_EPROTO);
}

static void the_table_agrees_with_the_fields(void)
{
	/* an all-zero message has the shortest length that the table gives (HELLO .. KEEPALIVE; AUTH and BITFIELD hold
	 * a run of bytes that must not be empty) */
#define X(num, NAME, word, fields, least, most)                                         \
	{                                                                               \
		struct buf b = { 0 };                                                   \
		struct peer_##word m;                                                   \
		memset(&m, 0, sizeof(m));                                               \
		peer_##word##_put(&b, &m);                                              \
		CHECK(b.len == (least) || num == PEER_AUTH || num == PEER_BITFIELD);    \
		if (b.len == (least))                                                   \
			CHECK_INT(peer_check(num, slice_of(b.data, b.len)), ==, SHOAL_OK); \
		buf_free(&b);                                                           \
	}
	PEER_MSGS(X)
#undef X
}

static void a_request_is_built_and_read(void)
{
	struct buf b = { 0 };
	struct peer_request m = { 2, 3, 4, 5 }, got;
	size_t start = peer_begin(&b, PEER_REQUEST);
	enum peer_type type;
	uint32_t len;
	peer_request_put(&b, &m);
	peer_end(&b, start, 0);
	CHECK_INT(peer_head_check(b.data, &type, &len), ==, SHOAL_OK);
	CHECK_INT(len, ==, b.len - PEER_HEAD_SIZE);
	struct cursor c = cursor_of(b.data + PEER_HEAD_SIZE, len);
	peer_request_get(&c, &got);
	CHECK(cursor_end(&c) == SHOAL_OK && got.ch == 2 && got.piece == 3 && got.offset == 4 && got.length == 5);
	buf_free(&b);
}

static struct ticket sample(void)
{
	return (struct ticket){ .key_number = 1, .uid = { { 1 } }, .device = { { 2 } }, .gid = { { 3 } },
		                .not_before_ms = 1000000, .not_after_ms = 1300000, .user = slice_str("ann") };
}

static void only_the_signers_ticket_opens(void)
{
	uint8_t seed[SEED_SIZE] = { 9 }, other_seed[SEED_SIZE] = { 8 };
	EVP_PKEY *key = key_from_seed(seed), *other = key_from_seed(other_seed);
	struct ticket t = sample(), got;
	struct buf b = { 0 };
	CHECK_INT(ticket_seal(&b, &t, key), ==, SHOAL_OK);
	CHECK_INT(b.len, <=, TICKET_MAX);
	CHECK_INT(ticket_open(slice_of(b.data, b.len), key, &got), ==, SHOAL_OK);
	CHECK(id16_eq(&got.gid, &t.gid) && slice_eq_str(got.user, "ann"));
	CHECK_INT(ticket_open(slice_of(b.data, b.len), other, &got), ==, SHOAL_EDENIED);
	for (size_t n = 0; n < b.len; n++)
		CHECK_INT(ticket_open(slice_of(b.data, n), key, &got), ==, SHOAL_EDENIED);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		CHECK_INT(ticket_open(slice_of(b.data, b.len), key, &got), ==, SHOAL_EDENIED);
		b.data[i] ^= 1;
	}
	buf_free(&b);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void a_ticket_is_good_for_its_device_and_time(void)
{
	struct ticket t = sample();
	struct id32 other = { { 7 } };
	CHECK(ticket_valid(&t, &t.device, 1100000));
	CHECK(!ticket_valid(&t, &other, 1100000));
	CHECK(ticket_valid(&t, &t.device, 1300000 + TICKET_GRACE_MS));
	CHECK(!ticket_valid(&t, &t.device, 1300001 + TICKET_GRACE_MS));
	CHECK(!ticket_valid(&t, &t.device, 999999 - TICKET_GRACE_MS));
}

static void only_the_keys_token_opens(void)
{
	uint8_t key[32] = { 5 }, other[32] = { 6 };
	struct token t = { .key_number = 1, .uid = { { 1 } }, .device = { { 2 } }, .log = 3, .seq = 4, .expires_ms = 5 }, got;
	struct buf b = { 0 };
	CHECK_INT(token_seal(&b, &t, key), ==, SHOAL_OK);
	CHECK_INT(b.len, <=, TOKEN_MAX);
	CHECK_INT(token_open(slice_of(b.data, b.len), key, &got), ==, SHOAL_OK);
	CHECK(got.seq == 4 && id16_eq(&got.uid, &t.uid));
	CHECK_INT(token_open(slice_of(b.data, b.len), other, &got), ==, SHOAL_EAUTH);
	for (size_t i = 0; i < b.len; i++) {
		CHECK_INT(token_open(slice_of(b.data, i), key, &got), ==, SHOAL_EAUTH);
		b.data[i] ^= 0x80;
		CHECK_INT(token_open(slice_of(b.data, b.len), key, &got), ==, SHOAL_EAUTH);
		b.data[i] ^= 0x80;
	}
	buf_free(&b);
}

static const struct CMUnitTest tests[] = {
	TEST(the_door_knows_every_type), TEST(the_table_agrees_with_the_fields), TEST(a_request_is_built_and_read),
	TEST(only_the_signers_ticket_opens), TEST(a_ticket_is_good_for_its_device_and_time), TEST(only_the_keys_token_opens),
};
CHECK_MAIN(tests)
