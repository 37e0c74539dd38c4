/* tests/fuzz/seeds.c - writes the seeds of the fuzz targets, made of valid messages: seeds tests/fuzz/corpus
 *
 * To be run again (make fuzz-seeds) when a message or an instruction has changed. */
#include <sys/stat.h>

#include "client/cmd.h"
#include "core/base/address.h"
#include "core/base/crypto.h"
#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/piece/metainfo.h"
#include "core/registry/row.h"
#include "core/wire/cmd.h"
#include "core/wire/peer_msg.h"
#include "core/wire/sync_msg.h"
#include "core/wire/ticket.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_step.h"

static const char *root;

/* Writes it to root/target/name and frees it. */
static void save(const char *target, const char *name, struct buf *b)
{
	struct error e = { 0 };
	char *folder = str_printf("%s/%s", root, target), *path = str_printf("%s/%s", folder, name);
	if (fs_mkdirs(folder, 0755, &e) != SHOAL_OK || fs_write_file(path, b->data, b->len, 0644, &e) != SHOAL_OK) {
		fprintf(stderr, "seeds: %s\n", e.message);
		exit(1);
	}
	free(path);
	free(folder);
	buf_free(b);
}

static void save_text(const char *target, const char *name, const char *text)
{
	struct buf b = { 0 };
	buf_put(&b, text, strlen(text));
	save(target, name, &b);
}

/* -- core/wire */

static void put_row(struct buf *b)
{
	struct row_build rb;
	const uint8_t uid[16] = { 1, 2 };
	const struct stamp s = { .hlc = UINT64_C(1700000000000) << 16, .tracker = 2, .dot = { 0x2000, 1 } };
	row_begin(&rb, b, TABLE_USER, uid, sizeof(uid));
	row_put(&rb, USER_NAME, "ann", 3);
	row_put_stamp(&rb, USER_CLAIM, &s);
	row_put_u8(&rb, USER_YIELDED, 1);
	row_end(&rb);
}

static void put_record(struct buf *b)
{
	struct buf rows = { 0 };
	struct record r = { .version = RECORD_VERSION, .op = OP_CREATE_USER, .request.b = { 9 },
		            .stamp = { .hlc = UINT64_C(1700000000000) << 16, .tracker = 2, .dot = { 0x2000, 1 } } };
	put_row(&rows);
	r.rows = slice_of(rows.data, rows.len);
	CHECK_INT(record_put(b, &r), ==, SHOAL_OK);
	buf_free(&rows);
}

static void records(void)
{
	struct buf b = { 0 };
	buf_put_u8(&b, 0);
	put_record(&b);
	save("fuzz_record", "create_user", &b);
	buf_put_u8(&b, 1);
	put_record(&b);
	save("fuzz_record", "checksum_made_right", &b);
}

static void op(struct buf *b, const uint8_t *bytes, size_t n)
{
	buf_put(b, bytes, n);
}
#define OP(b, ...) op(b, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* One of each kind, with what the field generators give for a run of small numbers. */
#define X(num, NAME, word, fields, row) FUZZ_DEFINE(sync_##word, fields)
SYNC_KINDS(X)
#undef X
CMD_REQUESTS(FUZZ_DEFINE)
#define X(num, NAME, word, fields) FUZZ_DEFINE(ev_##word, fields)
CMD_EVENTS(X)
#undef X

static const uint8_t small[64] = { 1, 1, 1, 2, 0, 1, 2, 3, 1, 2, 0, 0, 1 };
static const struct fuzz_pool pool = { .wall_ms = UINT64_C(1700000000000) };

static void sync_messages(void)
{
	struct buf b = { 0 };
#define X(num, NAME, word, fields, row)                                \
	{                                                              \
		struct cursor in = cursor_of(small, sizeof(small));    \
		buf_put_u8(&b, num);                                   \
		if (sync_kind_is_list(num))                            \
			buf_put_u16(&b, 0);                            \
		else                                                   \
			any_sync_##word(&pool, &in, &b);               \
		save("fuzz_sync", #word, &b);                          \
	}
	SYNC_KINDS(X)
#undef X
	buf_put_u8(&b, SYNC_LEASE);
	buf_put_u16(&b, 1);
	sync_lease_row_put(&b, &(struct sync_lease_row){ .log = 1, .seq = 2, .home = 2, .left_ms = 30000,
	                                                 .address = slice_str("127.0.0.1:5000") });
	save("fuzz_sync", "lease_of_one", &b);
	buf_put_u8(&b, SYNC_LEASE_SUM);
	buf_put_u16(&b, 1);
	sync_lease_sum_row_put(&b, &(struct sync_lease_sum_row){ .home = 2, .beat = 3, .left_ms = 15000, .all = 1 });
	save("fuzz_sync", "lease_sum_of_one", &b);
	buf_put_u8(&b, SYNC_OP);
	struct buf record = { 0 };
	put_record(&record);
	sync_op_put(&b, &(struct sync_op){ slice_of(record.data, record.len) });
	buf_free(&record);
	save("fuzz_sync", "op_with_record", &b);
}

static void put_cmd(struct buf *b, unsigned verb, const struct buf *fields)
{
	struct cmd_head head = { .serial = 1, .verb = (uint16_t)verb };
	size_t start = frame_begin(b, TAG_CMD);
	cmd_head_put(b, &head);
	buf_put(b, fields->data, fields->len);
	CHECK_INT(frame_end(b, start), ==, SHOAL_OK);
}

static void frames(void)
{
	struct buf b = { 0 }, fields = { 0 };
	buf_put_u8(&b, FRAMES_STRANGER);
	buf_put_u8(&b, 6);
	req_hello_put(&fields, &(struct req_hello){ .version = 1, .listen = slice_str("0.0.0.0:5000") });
	put_cmd(&b, VERB_HELLO, &fields);
	buf_reset(&fields);
	req_user_password_put(&fields, &(struct req_user_password){ slice_str("ann"), slice_str("pw") });
	put_cmd(&b, VERB_LOGIN, &fields);
	buf_free(&fields);
	save("fuzz_frame", "hello_login", &b);

	buf_put_u8(&b, FRAMES_TRACKER);
	buf_put_u8(&b, 200);
	size_t start = frame_begin(&b, TAG_RPLY);
	rply_head_put(&b, &(struct rply_head){ .serial = 1, .flags = RPLY_STAMP, .stamp.hlc = 1 });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	start = frame_begin(&b, TAG_EVNT);
	buf_put_u16(&b, EVENT_NOTE);
	ev_note_put(&b, &(struct ev_note){ slice_str("conflict"), slice_str("a text") });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	save("fuzz_frame", "reply_event", &b);
}

static void put_peer(struct buf *b, unsigned type, const void *body, uint32_t len)
{
	buf_put_u32(b, len + 1);
	buf_put_u8(b, (uint8_t)type);
	buf_put(b, body, len);
}

static void peers(void)
{
	static const uint8_t zeros[128];
	struct buf b = { 0 };
#define X(num, NAME, word, fields, least, most) \
	put_peer(&b, num, zeros, least);        \
	save("fuzz_peer", #word, &b);
	PEER_MSGS(X)
#undef X
	put_peer(&b, PEER_HAVE, zeros, 8);
	put_peer(&b, PEER_REQUEST, zeros, 16);
	put_peer(&b, PEER_KEEPALIVE, zeros, 0);
	save("fuzz_peer", "three", &b);
}

static void tickets(void)
{
	static const uint8_t seed[SEED_SIZE] = { 2 }; /* not the key that the target trusts */
	EVP_PKEY *key = key_from_seed(seed);
	struct buf b = { 0 };
	const struct ticket t = { .uid.b = { 1 }, .not_after_ms = 1, .user = slice_str("ann") };
	const struct token k = { .uid.b = { 1 }, .log = 1, .seq = 1, .expires_ms = 1 };
	CHECK_INT(ticket_seal(&b, &t, key), ==, SHOAL_OK);
	save("fuzz_ticket", "ticket", &b);
	CHECK_INT(token_seal(&b, &k, seed), ==, SHOAL_OK);
	save("fuzz_ticket", "token", &b);
	EVP_PKEY_free(key);
}

/* -- files and lines */

static void files(void)
{
	struct buf b = { 0 };
	uint8_t hashes[88 + 3 * 32] = "SHOALMI1";

	hashes[17] = 8; /* piece size 524288 */
	for (uint8_t made_right = 0; made_right < 2; made_right++) {
		buf_put_u8(&b, made_right);
		buf_put(&b, hashes, sizeof(hashes));
		save("fuzz_metainfo", made_right ? "three_pieces" : "wrong_id", &b);
	}
	buf_put_u8(&b, 1);
	buf_put(&b, hashes, 88);
	save("fuzz_metainfo", "empty_file", &b);

	uint8_t entry[130] = { 0 };
	for (uint8_t flags = 0; flags < 4; flags++) {
		buf_put_u8(&b, flags);
		for (uint8_t slot = 0; slot < 2; slot++) {
			entry[15] = (uint8_t)(2 + 3 * slot); /* seq 2 and 5 */
			entry[96] = (uint8_t)(0xf0 | slot);
			entry[57] = 8 * slot; /* front: one piece */
			buf_put_u16(&b, sizeof(entry));
			buf_put(&b, entry, sizeof(entry));
		}
		char name[16];
		snprintf(name, sizeof(name), "good_%u", flags);
		save("fuzz_journal", name, &b);
	}
	save_text("fuzz_known", "two", "# who was met\n"
	          "127.0.0.1:4000 sha256:abcd000000000000000000000000000000000000000000000000000000000000\n"
	          "example.org:4000 sha256:0101010101010101010101010101010101010101010101010101010101010101 # other\n");
	save_text("fuzz_known", "not_ended", "10.0.0.1:1 sha256:"
	          "0101010101010101010101010101010101010101010101010101010101010101");
	save_text("fuzz_tracker_info", "three", "127.0.0.1:5001 1\n[::1]:5002  2 # here\ntracker.example:5003 3\n");
	save_text("fuzz_tracker_info", "cluster", "cluster sha256:"
	          "0101010101010101010101010101010101010101010101010101010101010101\n10.0.0.1:1 1\n");
	for (size_t i = 0; i < HOST_MAX - 1; i++)
		buf_put_u8(&b, 'h');
	buf_put(&b, ":5001", 5);
	save("fuzz_tracker_info", "long_host", &b);
	save_text("fuzz_tracker_info", "size", "20M");
	save_text("fuzz_tracker_info", "time", "1.5s");
	save_text("fuzz_tracker_info", "stamp", "18bcfe56800.1.2000.7");
	save_text("fuzz_tracker_info", "alias", "plan~8d2w4c.pdf");
}

/* The tracker answers with one frame that has two rows of small values. */
static void begin_control(struct buf *b)
{
	OP(b, SHOAL_OK, 1, 3, 0, sizeof(small));
	buf_put(b, small, sizeof(small));
}

/* A call of each command, with as many arguments of its kinds as it takes. */
static void every_command(void)
{
	const struct cmd *cmd = NULL;
	while ((cmd = cmd_next(cmd)) != NULL) {
		struct buf b = { 0 };
		begin_control(&b);
		buf_printf(&b, "{\"id\":1,\"call\":\"%s\",\"args\":[", cmd->name);
		for (unsigned i = 0; i < cmd_count_args(cmd); i++) {
			enum arg_kind kind = cmd->args[i].kind;
			bool number = kind == ARG_INT || kind == ARG_SIZE || kind == ARG_SECONDS;
			buf_printf(&b, "%s%s", i != 0 ? "," : "",
			           number                 ? "1"
			           : kind == ARG_JOB      ? "{\"$job\":3}"
			           : kind == ARG_JOBS     ? "[{\"$job\":3},{\"$job\":4}]"
			           : kind == ARG_BOOL     ? "true"
			           : kind == ARG_STAMP    ? "{\"$stamp\":\"1.1.1.1\"}"
			           : kind == ARG_OPTS     ? "{}"
			           : kind == ARG_PATH     ? "\"/dev/null\""
			                                  : "\"team\"");
		}
		buf_printf(&b, "]}\n");
		save("fuzz_control", cmd->name, &b);
	}
}

static void lines(void)
{
	static const char *const typed[] = {
		"create_user alice password123", "create user  ann 'p w'", "login ann \"pass \\\" word\"",
		"list groups", "download_file team a.iso limit=5M order=sequential", "upload_file ~/x team",
		"list_files team glob=*.pdf all=true", "accept request team bob",
		"download_file team \"a b\" dest=\"c d\" on_exists=rename", "stop_share team x\\ y",
		"change_password old new", "wait_synced", "show_downloads",
	};
	static const char *const calls[] = {
		"{\"id\":1,\"call\":\"create_group\",\"args\":[\"team\"]}\n{\"id\":\"x\",\"call\":\"status\"}\n",
		"{\"id\":2,\"call\":\"download_file\",\"args\":[\"team\",\"song\",null,{\"limit\":\"5M\"}]}\n",
		"{\"id\":3,\"call\":\"job_info\",\"args\":[{\"$job\":3}]}\n"
		"{\"id\":4,\"call\":\"job_wait\",\"args\":[3]}\n",
		"{\"id\":5,\"call\":\"wait_synced\",\"args\":[{\"$stamp\":\"1.1.1.1\"},{\"trackers\":\"all\"}]}\n",
		"{\"id\":6,\"call\":\"list_files\",\"args\":[\"team\",{\"sort\":\"size\",\"glob\":\"*.x\"}]}\n",
		"{\"id\":7,\"call\":\"events\"}\n{\"id\":8,\"call\":\"quit\"}\nnot json\n",
		"{\"id\":9,\"call\":\"list_groups\",\"args\":[]}\n{\"id\":10,\"call\":\"trackers\"}\n",
		"{\"id\":11,\"call\":\"list_members\",\"args\":[\"team\"]}\n{\"id\":12,\"call\":\"whoami\"}\n",
		"{\"id\":13,\"call\":\"list_requests\",\"args\":[\"team\"]}\n{\"id\":14,\"call\":\"list_sessions\"}\n",
		"{\"id\":15,\"call\":\"stop_share\",\"args\":[\"team\",\"song\"]}\n"
		"{\"id\":16,\"call\":\"list_conflicts\"}\n",
	};
	char name[16];
	for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
		snprintf(name, sizeof(name), "line_%02zu", i);
		save_text("fuzz_typed", name, typed[i]);
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct buf b = { 0 };
		begin_control(&b);
		buf_put(&b, calls[i], strlen(calls[i]));
		snprintf(name, sizeof(name), "call_%02zu", i);
		save("fuzz_control", name, &b);
	}
	every_command();
}

static void rows(void)
{
	struct buf b = { 0 };
	char name[16];
	for (uint8_t table = 1; table < TABLE_END; table++) {
		buf_put_u8(&b, 0);
		buf_put_u8(&b, table);
		buf_put(&b, small, 8); /* the key */
		for (uint8_t i = 0; i < 3; i++) {
			buf_put_u8(&b, (uint8_t)(0x7e - 2 * i)); /* which columns */
			buf_put(&b, small, sizeof(small));
		}
		snprintf(name, sizeof(name), "table_%u", table);
		save("fuzz_rows", name, &b);
	}
	buf_put_u8(&b, 1);
	for (uint8_t table = 1; table < TABLE_END; table++) {
		buf_put_u8(&b, table);
		buf_put(&b, small, 12);
	}
	save("fuzz_rows", "registry", &b);
}

/* save() and OP() are used there */
#include "tests/fuzz/seed_stories.h"

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: seeds FOLDER\n");
		return 2;
	}
	root = argv[1];
	records();
	sync_messages();
	frames();
	peers();
	tickets();
	files();
	lines();
	rows();
	groups_story();
	files_story();
	sessions_story();
	sync_story();
	snapshots();
	links();
	peer_conns();
	return 0;
}
