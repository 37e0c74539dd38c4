/* tests/unit/tracker/test_parts.c - limits, options, cluster key, presence. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"
#include "tracker/cluster_key.h"
#include "tracker/limits.h"
#include "tracker/options.h"
#include "tracker/presence.h"

/* -- limits */
static struct limits *limits_of(unsigned login, unsigned create)
{
	struct limits_config c = { .per_minute = { login, create }, .seed = check_random(1000) };
	struct limits *l = limits_new(&c);
	CHECK(l != NULL);
	return l;
}

static void an_address_has_its_tries_a_minute(void)
{
	struct limits *l = limits_of(20, 0);
	for (int i = 0; i < 20; i++)
		CHECK_INT(limits_take(l, LIMIT_LOGIN, "10.0.0.1", 5000), ==, 0);
	uint64_t wait = limits_take(l, LIMIT_LOGIN, "10.0.0.1", 5000);
	CHECK_INT(wait, ==, 3000);
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "10.0.0.2", 5000), ==, 0);
	CHECK_INT(limits_take(l, LIMIT_CREATE_USER, "10.0.0.1", 5000), ==, 0); /* no limit */
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "10.0.0.1", 5000 + wait), ==, 0);
	CHECK(limits_take(l, LIMIT_LOGIN, "10.0.0.1", 5000 + wait) != 0);
	limits_free(l);
}

static void a_network_of_ipv6_is_one_address(void)
{
	struct limits *l = limits_of(2, 0);
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "2001:db8::1", 5000), ==, 0);
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "2001:db8::2:3", 5000), ==, 0);
	CHECK(limits_take(l, LIMIT_LOGIN, "2001:db8::ffff", 5000) != 0);
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "2001:db8:0:1::1", 5000), ==, 0);
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "::ffff:10.0.0.1", 5000), ==, 0);
	CHECK_INT(limits_take(l, LIMIT_LOGIN, "10.0.0.1", 5000), ==, 0);
	CHECK(limits_take(l, LIMIT_LOGIN, "::ffff:10.0.0.1", 5000) != 0);
	limits_free(l);
}

static void fail_once(struct limits *l, const struct limits_who *who, uint64_t now)
{
	CHECK_INT(limits_try(l, who, now), ==, 0);
	limits_tried(l, who, TRIED_WRONG, now);
}

static void wrong_passwords_wait_longer_and_longer(void)
{
	static const uint64_t waits[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	const struct limits_who ann = { .user = "ann" }, bob = { .user = "bob" };
	struct limits *l = limits_of(0, 0);
	uint64_t now = 5000;
	for (int i = 0; i < 5; i++)
		fail_once(l, &ann, now);
	for (size_t i = 0; i < COUNT_OF(waits); i++) {
		CHECK_INT(limits_try(l, &ann, now), ==, waits[i]);
		now += waits[i];
		fail_once(l, &ann, now);
	}
	CHECK_INT(limits_try(l, &bob, now), ==, 0);
	now += 60000;
	CHECK_INT(limits_try(l, &ann, now), ==, 0);
	limits_tried(l, &ann, TRIED_RIGHT, now);
	CHECK_INT(limits_try(l, &ann, now), ==, 0);
	limits_free(l);
}

/* Tries that are under way cannot be told from wrong ones: not many at once, and after five failures one at a time. */
static void guessing_many_at_once_does_not_help(void)
{
	const struct limits_who ann = { .user = "ann" };
	struct limits *l = limits_of(0, 0);
	unsigned begun = 0;
	for (int i = 0; i < 1000; i++)
		begun += limits_try(l, &ann, 5000) == 0;
	CHECK_INT(begun, ==, 16);
	for (unsigned i = 0; i < begun; i++)
		limits_tried(l, &ann, TRIED_WRONG, 5000);
	CHECK_INT(limits_try(l, &ann, 64999), ==, 1); /* 16 failures: the longest wait */
	CHECK_INT(limits_try(l, &ann, 65000), ==, 0);
	CHECK(limits_try(l, &ann, 65000) != 0);
	limits_tried(l, &ann, TRIED_NOT, 65000); /* it could not be looked at: as if it had not been */
	CHECK_INT(limits_try(l, &ann, 65000), ==, 0);
	limits_free(l);
}

/* A million guesses from everywhere, and the owner comes in on the device that he has used before. */
static void nobody_locks_the_owner_out(void)
{
	struct id32 device = { { 7 } }, other = { { 8 } };
	const struct limits_who anybody = { .user = "ann" }, owner = { .user = "ann", .device = &device };
	struct limits *l = limits_of(0, 0);
	unsigned looked_at = 0;
	CHECK(!limits_knows_device(l, "ann", &device));
	limits_know_device(l, "ann", &device, 1000);
	for (uint64_t i = 0; i < 1000000; i++) {
		uint64_t now = 5000 + i * 10;
		if (limits_try(l, &anybody, now) == 0) {
			limits_tried(l, &anybody, TRIED_WRONG, now);
			looked_at++;
		}
		if (i % 1000 == 0) {
			CHECK(limits_knows_device(l, "ann", &device) && !limits_knows_device(l, "ann", &other));
			CHECK_INT(limits_try(l, &owner, now), ==, 0);
			limits_tried(l, &owner, TRIED_RIGHT, now);
		}
	}
	CHECK_INT(looked_at, <, 200); /* of a million in 10,000 s */
	CHECK(!limits_knows_device(l, "bob", &device));
	for (int i = 0; i < 5; i++)
		fail_once(l, &owner, 20000000);
	CHECK_INT(limits_try(l, &owner, 20000000), ==, 1000); /* who steals the device guesses no faster */
	limits_free(l);
}

/* -- options */
static enum shoal_err parse(const char *words, struct options *o, struct error *e)
{
	char *copy = xstrdup(words), *argv[24] = { "shoal-tracker" }, *rest = copy, *word;
	int argc = 1;
	while ((word = strsep(&rest, " ")) != NULL && argc < 23)
		if (word[0] != '\0')
			argv[argc++] = word;
	enum shoal_err rc = options_parse(argc, argv, o, e);
	o->info_path = NULL; /* it pointed into the copy */
	free(copy);
	return rc;
}

static void options_have_defaults(void)
{
	struct options o;
	struct error e;
	setenv("XDG_STATE_HOME", "/state", 1);
	CHECK_INT(parse("info.txt 7", &o, &e), ==, SHOAL_OK);
	CHECK_INT(o.id, ==, 7);
	CHECK_STR(o.data, "/state/shoal/tracker-7");
	CHECK_STR(o.cluster_key, "/state/shoal/cluster.key");
	CHECK_STR(o.log_file, "/state/shoal/tracker-7/tracker.log");
	CHECK_INT(o.scrypt_ln, ==, 15);
	CHECK_INT(o.ticket_life_s, ==, 300);
	CHECK_INT(o.login_rate, ==, 20);
	CHECK_INT(o.console, ==, LOG_INFO);
	options_free(&o);
	CHECK_INT(parse("--data /d info.txt --scrypt-ln 10 7 --plaintext -q --login-rate 0 --ticket-life 60", &o, &e),
	          ==, SHOAL_OK);
	CHECK_STR(o.data, "/d");
	CHECK_STR(o.cluster_key, "/state/shoal/cluster.key"); /* whatever --data is */
	CHECK_STR(o.log_file, "/d/tracker.log");
	CHECK(o.plaintext && o.scrypt_ln == 10 && o.login_rate == 0 && o.ticket_life_s == 60 && o.console == LOG_WARN);
	options_free(&o);
}

static void wrong_options_are_named(void)
{
	static const struct { const char *words, *part;
	} cases[] = {
		{ "", "missing" },
		{ "info.txt", "missing" },
		{ "info.txt 0", "from 1 to 65535" },
		{ "info.txt x", "'x'" },
		{ "info.txt 1 2", "too many" },
		{ "--wrong info.txt 1", "'--wrong'" },
		{ "info.txt 1 --data", "'--data' needs a value" },
		{ "--scrypt-ln 9 info.txt 1", "--scrypt-ln" },
		{ "--scrypt-ln 1x info.txt 1", "'1x'" },
		{ "--ticket-life 99999999999 info.txt 1", "--ticket-life" },
		{ "--data= info.txt 1", "--data" },
		{ "--new-cluster-key --show-identity", "only one of" },
		{ "--show-identity info.txt 1", "too many" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct options o;
		struct error e;
		CHECK_INT(parse(cases[i].words, &o, &e), ==, SHOAL_EUSAGE);
		check_that(strstr(e.message, cases[i].part) != NULL, e.message, __FILE__, __LINE__);
		options_free(&o);
	}
}

/* -- cluster key */
static void the_key_is_made_once_and_shared(void)
{
	char *path = str_printf("%s/deep/er/cluster.key", check_folder());
	struct cluster_keys a, b;
	struct stat st;
	struct error e;
	bool made;
	CHECK_INT(cluster_key_load(path, &a, &made, &e), ==, SHOAL_OK);
	CHECK(made);
	CHECK_INT(stat(path, &st), ==, 0);
	CHECK_INT(st.st_mode & 0777, ==, 0600);
	CHECK_INT(st.st_size, ==, 32);
	CHECK_INT(cluster_key_load(path, &b, &made, &e), ==, SHOAL_OK);
	CHECK(!made && memcmp(&a, &b, sizeof(a)) == 0);
	CHECK(memcmp(a.identity_seed, a.ticket_seed, 32) != 0 && memcmp(a.ticket_seed, a.token_key, 32) != 0);
	CHECK_INT(chmod(path, 0640), ==, 0);
	CHECK_INT(cluster_key_load(path, &b, &made, &e), ==, SHOAL_EDENIED);
	CHECK(strstr(e.message, path) != NULL);
	CHECK_INT(chmod(path, 0600), ==, 0);
	CHECK_INT(truncate(path, 31), ==, 0);
	CHECK_INT(cluster_key_load(path, &b, &made, &e), ==, SHOAL_EUSAGE);
	free(path);
}

/* Many start at once: one key. */
static void those_who_start_together_agree(void)
{
	char *path = str_printf("%s/race/cluster.key", check_folder());
	int fds[2];
	CHECK_INT(pipe(fds), ==, 0);
	for (int i = 0; i < 8; i++) {
		if (fork() != 0)
			continue;
		struct cluster_keys k;
		struct error e;
		bool made;
		bool ok = cluster_key_load(path, &k, &made, &e) == SHOAL_OK && fs_write_all(fds[1], k.token_key, 32);
		_exit(ok ? 0 : 1);
	}
	uint8_t first[32], other[32];
	for (int i = 0; i < 8; i++) {
		int status;
		CHECK(wait(&status) > 0 && status == 0);
		CHECK_INT(read(fds[0], i == 0 ? first : other, 32), ==, 32);
		CHECK(i == 0 || memcmp(first, other, 32) == 0);
	}
	close(fds[0]);
	close(fds[1]);
	free(path);
}

/* -- presence */
static struct online session(uint8_t uid, uint8_t device, uint64_t seq, uint64_t epoch, uint64_t beat)
{
	struct online o = { .dot = { 1, seq }, .home = 2, .epoch = epoch, .beat = beat, .until_ms = 30000,
		            .addr = { .host = "10.0.0.1", .port = 5000 } };
	o.uid.b[0] = uid;
	o.device.b[0] = device;
	return o;
}

static void count_ended(void *arg, const struct online *o)
{
	(void)o;
	++*(unsigned *)arg;
}

static void the_newest_word_stands(void)
{
	struct presence_map *p = presence_new();
	struct online o = session(1, 1, 1, 10, 5);
	bool fresh;
	CHECK_INT(presence_put(p, &o, &fresh), ==, SHOAL_OK);
	CHECK(fresh && presence_user_online(p, &o.uid));
	CHECK_INT(presence_put(p, &o, &fresh), ==, SHOAL_ECONFLICT); /* said already */
	o = session(1, 1, 1, 9, 99);
	CHECK_INT(presence_put(p, &o, &fresh), ==, SHOAL_ECONFLICT); /* an older connection */
	o = session(1, 1, 1, 10, 6);
	o.addr.port = 6000;
	CHECK_INT(presence_put(p, &o, &fresh), ==, SHOAL_OK);
	CHECK(fresh && presence_by_dot(p, o.dot)->addr.port == 6000);
	CHECK(!presence_end(p, o.dot, 10, 5, 1000)); /* an end that is older */
	CHECK(presence_end(p, o.dot, 10, 7, 1000));
	CHECK(!presence_user_online(p, &o.uid) && presence_by_dot(p, o.dot) == NULL);
	CHECK_INT(presence_count(p), ==, 0);
	CHECK_INT(presence_put(p, &o, &fresh), ==, SHOAL_ECONFLICT); /* news that were under way when it ended */
	CHECK_INT(presence_next_epoch(p, o.dot, 3), ==, 11);
	o = session(1, 1, 1, 11, 0);
	CHECK_INT(presence_put(p, &o, &fresh), ==, SHOAL_OK);
	CHECK(fresh && presence_user_online(p, &o.uid));
	presence_free(p);
}

static void the_endpoint_is_the_newest_of_the_device(void)
{
	struct presence_map *p = presence_new();
	struct online old = session(1, 1, 1, 10, 0), fresh_one = session(1, 1, 2, 20, 0),
		      other = session(1, 2, 3, 30, 0);
	bool fresh;
	presence_put(p, &fresh_one, &fresh);
	presence_put(p, &old, &fresh);
	presence_put(p, &other, &fresh);
	CHECK_INT(presence_endpoint(p, &old.uid, &old.device)->dot.seq, ==, 2);
	CHECK_INT(presence_endpoint(p, &old.uid, &other.device)->dot.seq, ==, 3);
	CHECK(presence_endpoint(p, &(struct id16){ { 9 } }, &old.device) == NULL);
	presence_free(p);
}

static void leases_run_out(void)
{
	struct presence_map *p = presence_new();
	struct online a = session(1, 1, 1, 10, 0), b = session(2, 2, 2, 10, 0);
	unsigned ended = 0;
	bool fresh;
	CHECK_INT(presence_expire(p, 1000, count_ended, &ended), ==, ENV_NEVER);
	presence_put(p, &a, &fresh);
	presence_put(p, &b, &fresh);
	CHECK(presence_beat(p, b.dot, 60000));
	presence_expire(p, 29999, count_ended, &ended);
	CHECK_INT(ended, ==, 0);
	presence_expire(p, 31000, count_ended, &ended);
	CHECK_INT(ended, ==, 1);
	CHECK(!presence_user_online(p, &a.uid) && presence_user_online(p, &b.uid));
	CHECK(!presence_beat(p, a.dot, 90000));
	presence_detach(p, b.dot, 33000);
	presence_expire(p, 34000, count_ended, &ended);
	CHECK_INT(ended, ==, 2);
	presence_free(p);
}

/* Against arrays: random puts, ends and expiries of 6 sessions of 3 users. */
static void it_agrees_with_a_naive_table(void)
{
	struct presence_map *p = presence_new();
	struct { bool known, online; uint64_t epoch, beat, until, forget; } model[6] = { { 0 } };
	unsigned ended = 0;
	uint64_t now = 1000;
	bool fresh;
	for (int step = 0; step < 5000; step++) {
		uint8_t i = (uint8_t)check_random(6);
		struct online o = session((uint8_t)(1 + i / 2), i, i + 1u, check_random(50) + (uint64_t)step / 100,
		                          check_random(4));
		bool newer = !model[i].known || o.epoch > model[i].epoch ||
		             (o.epoch == model[i].epoch && o.beat > model[i].beat);
		o.until_ms = now + check_random(30000);
		if (check_random(3) != 0) {
			CHECK_INT(presence_put(p, &o, &fresh) == SHOAL_OK, ==, newer);
			if (newer) {
				model[i].known = model[i].online = true;
				model[i].epoch = o.epoch;
				model[i].beat = o.beat;
				model[i].until = o.until_ms;
			}
		} else {
			bool ends = model[i].online && (o.epoch > model[i].epoch ||
			                                (o.epoch == model[i].epoch && o.beat >= model[i].beat));
			CHECK_INT(presence_end(p, o.dot, o.epoch, o.beat, now), ==, ends);
			if (ends) {
				model[i].online = false;
				model[i].epoch = o.epoch;
				model[i].beat = o.beat;
				model[i].until = now + 65000;
			}
		}
		now += 1000;
		presence_expire(p, now, count_ended, &ended);
		size_t online = 0;
		for (uint8_t k = 0; k < 6; k++) {
			if (model[k].known && model[k].until <= now)
				model[k].known = model[k].online = false;
			online += model[k].online;
			CHECK_INT(presence_by_dot(p, (struct dot){ 1, k + 1u }) != NULL, ==, model[k].online);
		}
		CHECK_INT(presence_count(p), ==, online);
		for (uint8_t u = 0; u < 3; u++)
			CHECK_INT(presence_user_online(p, &(struct id16){ { (uint8_t)(u + 1) } }), ==,
			          model[2 * u].online || model[2 * u + 1].online);
	}
	presence_free(p);
}

static void collect(void *arg, const struct leecher *l)
{
	*(uint32_t *)arg += l->pieces;
}

static void leechers_come_and_go(void)
{
	struct presence_map *p = presence_new();
	struct leecher a = { .epoch = 1, .beat = 1, .pieces = 1, .until_ms = 60000 }, b = a, other = a;
	uint32_t pieces = 0;
	unsigned ended = 0;
	b.device.b[0] = 2;
	b.pieces = 10;
	other.fid.b[0] = 9;
	CHECK_INT(presence_announce(p, &a), ==, SHOAL_OK);
	CHECK_INT(presence_announce(p, &b), ==, SHOAL_OK);
	CHECK_INT(presence_announce(p, &other), ==, SHOAL_OK);
	CHECK_INT(presence_announce(p, &b), ==, SHOAL_ECONFLICT);
	CHECK_INT(presence_leechers(p, &a.gid, &a.fid), ==, 2);
	a.beat = 2;
	a.pieces = 5;
	CHECK_INT(presence_announce(p, &a), ==, SHOAL_OK);
	presence_each_leecher(p, &a.gid, &a.fid, collect, &pieces);
	CHECK_INT(pieces, ==, 15);
	a.beat = 3;
	CHECK_INT(presence_announce_stop(p, &a, 1000), ==, SHOAL_OK);
	CHECK_INT(presence_leechers(p, &a.gid, &a.fid), ==, 1);
	CHECK_INT(presence_announce(p, &a), ==, SHOAL_ECONFLICT);
	presence_expire(p, 61000, count_ended, &ended);
	CHECK_INT(presence_leechers(p, &b.gid, &b.fid), ==, 0);
	CHECK_INT(presence_leechers(p, &other.gid, &other.fid), ==, 0);
	presence_expire(p, 70000, count_ended, &ended);
	CHECK_INT(presence_expire(p, 80000, count_ended, &ended), ==, ENV_NEVER);
	presence_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_address_has_its_tries_a_minute), TEST(a_network_of_ipv6_is_one_address),
		TEST(wrong_passwords_wait_longer_and_longer), TEST(guessing_many_at_once_does_not_help),
		TEST(nobody_locks_the_owner_out), TEST(options_have_defaults), TEST(wrong_options_are_named),
		TEST(the_key_is_made_once_and_shared), TEST(those_who_start_together_agree), TEST(the_newest_word_stands),
		TEST(the_endpoint_is_the_newest_of_the_device), TEST(leases_run_out), TEST(it_agrees_with_a_naive_table),
		TEST(leechers_come_and_go),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
