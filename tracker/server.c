/* tracker/server.c
 *
 * Threads: the loop (this one: connections, registry, everything that decides), the store thread, the pool. What is
 * opened is closed in the reverse order; whatever posts to the loop ends before it. */
#include "tracker/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/units.h"
#include "core/base/workers.h"
#include "core/net/loop.h"
#include "core/net/net_env.h"
#include "core/net/tls.h"
#include "tracker/cluster_key.h"
#include "tracker/control.h"
#include "tracker/load.h"
#include "tracker/recover.h"
#include "tracker/store_sqlite.h"
#include "tracker/store_thread.h"
#include "tracker/tracker.h"

enum { CONSOLE_LINE_MAX = 256, WORK_QUEUE = 64 };

/* Content cookies with this top byte are the control socket's: the rest is the question. */
#define CONTROL_COOKIE (UINT64_C(0x43) << 56)

struct server {
	const struct options *options;
	struct tracker_info info;
	struct cluster_keys keys;
	struct log *log;
	int lock_fd;
	EVP_PKEY *ticket_key;
	struct tls_identity *identity;
	struct loop *loop;
	struct workers *workers;
	struct net_env *env;
	struct loaded loaded;
	struct store_thread *store;
	struct tracker *tracker;
	struct control *control;
	struct loop_watch *console;
	char line[CONSOLE_LINE_MAX];
	size_t line_len;
	bool stopping;
};

/* -- glue */
static void on_committed(void *owner, uint64_t cookie, enum shoal_err result)
{
	struct server *s = owner;
	net_env_post_committed(s->env, cookie, result);
}

static void on_content(void *owner, uint64_t cookie, enum shoal_err result, struct content_op *op)
{
	struct server *s = owner;
	net_env_post_content(s->env, cookie, result, op);
}

static void on_lost(void *owner, const char *why)
{
	struct server *s = owner;
	log_line(s->log, LOG_ERROR, "store", "%s; stopping: the next start reads what is there", why);
	_exit(EXIT_DATA);
}

static void to_store(void *owner, struct store_txn *txn, uint64_t cookie)
{
	struct server *s = owner;
	store_thread_commit(s->store, txn, cookie);
}

static void content_to_store(void *owner, struct content_op *op, uint64_t cookie)
{
	struct server *s = owner;
	store_thread_content(s->store, op, cookie);
}

static void on_established(void *owner, conn_id conn)
{
	struct server *s = owner;
	net_env_mark_established(s->env, conn);
}

/* -- stopping, reloading */
static void on_drained(void *arg)
{
	struct server *s = arg;
	loop_stop(s->loop);
}

static void stop(struct server *s, const char *why)
{
	if (s->stopping)
		return;
	s->stopping = true;
	log_line(s->log, LOG_INFO, "tracker", "stopping: %s", why);
	tracker_leave(s->tracker);
	net_env_drain(s->env, on_drained, s);
}

static void reload(struct server *s)
{
	struct tracker_info fresh;
	struct error e;

	if (log_reopen(s->log, &e) != SHOAL_OK)
		log_line(s->log, LOG_ERROR, "tracker", "%s", e.message);
	if (tracker_info_read(s->options->info_path, &fresh, &e) != SHOAL_OK) {
		log_line(s->log, LOG_ERROR, "tracker", "%s; the old list stays", e.message);
		return;
	}
	tracker_set_peers(s->tracker, fresh.trackers, fresh.n);
	tracker_info_free(&s->info);
	s->info = fresh;
	log_line(s->log, LOG_INFO, "tracker", "read '%s' again: %zu trackers", s->options->info_path, fresh.n);
	net_env_wake(s->env);
}

/* -- the control socket */
static enum shoal_err begin_backup(struct server *s, uint64_t question, const char *path, struct error *e)
{
	struct content_op *op;
	if (path[0] != '/')
		return error_set(e, SHOAL_EUSAGE, "a backup needs an absolute path");
	op = content_op_new(CONTENT_BACKUP);
	if (op == NULL || (op->path = try_strdup(path)) == NULL) {
		content_op_free(op);
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory");
	}
	log_line(s->log, LOG_INFO, "store", "backing up to '%s'", path);
	store_thread_content(s->store, op, CONTROL_COOKIE | question);
	return SHOAL_OK;
}

static void backup_done(struct server *s, const struct env_event *ev)
{
	char sentence[CONTROL_LINE_MAX];
	const char *path = ev->content->path;

	if (ev->result == SHOAL_OK)
		log_line(s->log, LOG_INFO, "store", "backed up to '%s'", path);
	snprintf(sentence, sizeof(sentence), "cannot back up to '%.300s': %s%s", path, error_default(ev->result),
	         ev->result == SHOAL_EEXISTS ? ", and is never written over" : "; the tracker's log says why");
	control_answer(s->control, ev->cookie & ~CONTROL_COOKIE, ev->result, sentence, slice_of(NULL, 0));
	content_op_free(ev->content);
}

static void put_file_size(struct server *s, const char *name, struct buf *out)
{
	char *path = str_printf("%s/%s", s->options->data, name), text[UNITS_TEXT];
	struct stat st;
	if (stat(path, &st) == 0)
		buf_printf(out, "%s: %s\n", name, units_bytes((uint64_t)st.st_size, text));
	free(path);
}

static void on_question(void *owner, uint64_t question, const char *line)
{
	struct server *s = owner;
	struct buf out = { 0 };
	struct error e = { 0 };
	enum shoal_err rc = SHOAL_OK;

	if (strncmp(line, "backup ", 7) == 0) {
		rc = s->stopping ? error_set(&e, SHOAL_EBUSY, "the tracker is stopping")
		                 : begin_backup(s, question, line + 7, &e);
		if (rc == SHOAL_OK)
			return; /* backup_done() answers */
	} else if (strcmp(line, "status") == 0) {
		tracker_status(s->tracker, &out);
		put_file_size(s, "tracker.db", &out);
		put_file_size(s, "tracker.db-wal", &out);
	} else {
		rc = error_set(&e, SHOAL_EUSAGE, "no such question");
	}
	control_answer(s->control, question, rc, e.message, slice_of(out.data, out.len));
	buf_free(&out);
}

/* The tracker that had lost its database has everything again. */
static void note_rebuilt(struct server *s)
{
	struct error e;
	if (!s->loaded.set_aside || !tracker_rebuilt(s->tracker))
		return;
	s->loaded.set_aside = false;
	char *path = str_printf("%s/tracker.db", s->options->data);
	if (recover_done(path, &e) == SHOAL_OK)
		log_line(s->log, LOG_INFO, "store", "everything is here again");
	else
		log_line(s->log, LOG_ERROR, "store", "%s", e.message);
	free(path);
}

static uint64_t on_step(void *owner, const struct env_event *ev)
{
	struct server *s = owner;
	if (ev->type == ENV_CONTENT && ev->cookie >> 56 == CONTROL_COOKIE >> 56) {
		backup_done(s, ev);
		return s->stopping ? ENV_NEVER : tracker_step(s->tracker, &(struct env_event){ .type = ENV_TICK });
	}
	if (s->stopping) {
		if (ev->type == ENV_CONTENT)
			content_op_free(ev->content);
		return ENV_NEVER;
	}
	if (ev->type == ENV_SIGNAL) {
		if (ev->cookie == SIGHUP)
			reload(s);
		else
			stop(s, ev->cookie == SIGTERM ? "SIGTERM" : "SIGINT");
		if (s->stopping)
			return ENV_NEVER;
	}
	uint64_t next = tracker_step(s->tracker, ev);
	note_rebuilt(s);
	return next;
}

/* -- console */
static void run_line(struct server *s)
{
	struct buf out = { 0 };
	s->line[s->line_len] = '\0';
	s->line_len = 0;
	char *line = s->line + strspn(s->line, " \t");
	for (size_t n = strlen(line); n != 0 && strchr(" \t\r", line[n - 1]) != NULL; n--)
		line[n - 1] = '\0';
	if (!tracker_console(s->tracker, line, &out))
		stop(s, "quit");
	if (!out.failed && out.len != 0) {
		fwrite(out.data, 1, out.len, stdout);
		fflush(stdout);
	}
	buf_free(&out);
	if (!s->stopping)
		net_env_wake(s->env);
}

/* The end of input is no reason to stop: a service has none. */
static void on_console(void *arg, unsigned ready)
{
	struct server *s = arg;
	char input[CONSOLE_LINE_MAX];
	ssize_t n = read(STDIN_FILENO, input, sizeof(input));

	(void)ready;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		loop_watch_free(s->console);
		s->console = NULL;
		return;
	}
	for (ssize_t i = 0; i < n && !s->stopping; i++) {
		if (input[i] == '\n')
			run_line(s);
		else if (s->line_len < sizeof(s->line) - 1)
			s->line[s->line_len++] = input[i];
	}
}

/* A terminal, a pipe or a socket can be waited for; /dev/null and plain files give no commands. */
static void watch_console(struct server *s)
{
	struct stat st;
	if (fstat(STDIN_FILENO, &st) != 0 || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !isatty(STDIN_FILENO)))
		return;
	s->console = loop_watch_new(s->loop, STDIN_FILENO, on_console, s);
	if (s->console != NULL && !loop_watch_set(s->console, true, false)) {
		loop_watch_free(s->console);
		s->console = NULL;
	}
}

/* -- opening */
static enum shoal_err lock_data(struct server *s, struct error *e)
{
	const char *data = s->options->data;
	char *path = str_printf("%s/lock", data), pid[32];
	enum shoal_err rc = fs_mkdirs(data, 0700, e);

	if (rc == SHOAL_OK && (s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
		rc = error_errno(e, "cannot open '%s'", path);
	if (rc == SHOAL_OK && flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		ssize_t n = read(s->lock_fd, pid, sizeof(pid) - 1);
		pid[n > 0 ? n : 0] = '\0';
		rc = error_set(e, SHOAL_EBUSY, "the data folder '%s' is in use by another shoal-tracker, pid %ld", data,
		               strtol(pid, NULL, 10));
	} else if (rc == SHOAL_OK) {
		int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
		if (ftruncate(s->lock_fd, 0) != 0 || !fs_write_all(s->lock_fd, pid, (size_t)n))
			rc = error_errno(e, "cannot write '%s'", path);
	}
	free(path);
	return rc;
}

static enum shoal_err read_info(struct server *s, struct error *e)
{
	const struct options *o = s->options;
	enum shoal_err rc = tracker_info_read(o->info_path, &s->info, e);
	if (rc == SHOAL_OK && tracker_info_find(&s->info, o->id) == NULL)
		rc = error_set(e, SHOAL_EUSAGE, "%s: there is no line for the id %u", o->info_path, o->id);
	return rc;
}

static enum shoal_err open_keys(struct server *s, struct error *e)
{
	bool made;
	enum shoal_err rc = cluster_key_load(s->options->cluster_key, &s->keys, &made, e);
	if (rc != SHOAL_OK)
		return rc;
	if (made)
		log_line(s->log, LOG_INFO, "tracker",
		         "made the cluster key '%s': copy it to the hosts of the other trackers",
		         s->options->cluster_key);
	s->ticket_key = key_from_seed(s->keys.ticket_seed);
	s->identity = tls_identity_new(s->keys.identity_seed, e);
	if (s->ticket_key == NULL || s->identity == NULL)
		return error_set(e, SHOAL_EINTERNAL, "cannot make the keys of the cluster");
	if (s->info.pinned && !id32_eq(&s->info.cluster, &s->identity->id))
		return error_set(e, SHOAL_EUSAGE,
		                 "%s: its 'cluster' line names another identity than the key '%s' gives",
		                 s->options->info_path, s->options->cluster_key);
	return SHOAL_OK;
}

static enum shoal_err open_env(struct server *s, struct error *e)
{
	static const char *const alpns[] = { ALPN_CLIENT, ALPN_SYNC };
	s->loop = loop_new(e);
	if (s->loop == NULL)
		return e->code;
	s->workers = workers_new(workers_default_count(), WORK_QUEUE);
	struct net_env_config config = {
		.loop = s->loop, .identity = s->identity, .accept_alpns = alpns, .n_accept_alpns = COUNT_OF(alpns),
		.log = s->log, .workers = s->workers, .step = on_step, .owner = s, .commit = to_store,
		.content = content_to_store, .content_free = content_op_free, .max_per_address = s->options->strangers,
	};
	s->env = net_env_new(&config, e);
	return s->env != NULL ? SHOAL_OK : e->code;
}

static enum shoal_err open_tracker(struct server *s, struct error *e)
{
	const struct options *o = s->options;
	struct tracker_config config = {
		.env = net_env_env(s->env),
		.registry = s->loaded.registry,
		.self = o->id,
		.trackers = s->info.trackers,
		.n_trackers = s->info.n,
		.cluster = s->identity->id,
		.ticket_key = s->ticket_key,
		.version = SHOAL_VERSION,
		.joining = s->loaded.set_aside,
		.plaintext = o->plaintext,
		.scrypt_ln = o->scrypt_ln,
		.ticket_life_s = o->ticket_life_s,
		.sessions = o->sessions,
		.min_sync = o->min_sync,
		.login_rate = o->login_rate,
		.create_rate = o->create_rate,
		.established = on_established,
		.owner = s,
	};
	memcpy(config.token_key, s->keys.token_key, sizeof(config.token_key));
	s->tracker = tracker_new(&config);
	if (s->tracker == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	for (size_t i = 0; i < s->loaded.floor.n; i++)
		if (tracker_load_floor(s->tracker, s->loaded.floor.entries[i].log, s->loaded.floor.entries[i].seq) !=
		    SHOAL_OK)
			return error_set(e, SHOAL_EBUSY, "out of memory");
	struct store_thread_config store = {
		.ops = &store_sqlite_ops,
		.store = s->loaded.store,
		.idle = store_sqlite_idle,
		.backup = store_sqlite_backup,
		.committed = on_committed,
		.content = on_content,
		.lost = on_lost,
		.owner = s,
		.log = s->log,
	};
	s->store = store_thread_new(&store);
	s->loaded.store = NULL; /* the thread closes it */
	return SHOAL_OK;
}

static int fail(struct server *s, int code, const struct error *e)
{
	if (s->log != NULL)
		log_line(s->log, LOG_ERROR, "tracker", "%s", e->message);
	else
		fprintf(stderr, "shoal-tracker: %s\n", e->message);
	return code;
}

static enum shoal_err open_store(struct server *s, struct error *e)
{
	char *path = str_printf("%s/tracker.db", s->options->data);
	uint64_t log_id;
	do
		log_id = random_u64();
	while (log_id == 0);
	enum shoal_err rc = load_store(path, s->options->id, log_id, clock_wall_ms(), s->info.n > 1, s->log,
	                               &s->loaded, e);
	free(path);
	return rc;
}

/* 0, or the exit code; what went wrong has been said. */
static int open_all(struct server *s)
{
	struct error e = { 0 };
	char text[ADDRESS_MAX], hex[HEX32_SIZE];
	struct address bound;

	if (read_info(s, &e) != SHOAL_OK)
		return fail(s, error_exit_code(SHOAL_EUSAGE), &e);
	if (lock_data(s, &e) != SHOAL_OK)
		return fail(s, EXIT_DATA, &e);
	s->log = log_open(s->options->log_file, s->options->console, s->options->file, &e);
	if (s->log == NULL)
		return fail(s, EXIT_DATA, &e);
	if (open_keys(s, &e) != SHOAL_OK)
		return fail(s, e.code == SHOAL_EUSAGE ? error_exit_code(e.code) : EXIT_DATA, &e);
	if (open_env(s, &e) != SHOAL_OK)
		return fail(s, error_exit_code(SHOAL_EINTERNAL), &e);
	if (open_store(s, &e) != SHOAL_OK)
		return fail(s, EXIT_DATA, &e);
	if (open_tracker(s, &e) != SHOAL_OK)
		return fail(s, error_exit_code(SHOAL_EINTERNAL), &e);
	if (net_env_listen(s->env, &tracker_info_find(&s->info, s->options->id)->addr, &bound, &e) != SHOAL_OK)
		return fail(s, EXIT_LISTEN, &e);
	s->control = control_new(s->loop, s->options->data, on_question, s, &e);
	if (s->control == NULL)
		return fail(s, EXIT_DATA, &e);
	hex_encode(s->identity->id.b, sizeof(s->identity->id.b), hex);
	printf("tracker %u listens on %s, identity sha256:%s\n", s->options->id, address_format(&bound, text), hex);
	fflush(stdout);
	log_line(s->log, LOG_DEBUG, "tracker", "tracker %u, version %s, listens on %s, identity sha256:%s",
	         s->options->id, SHOAL_VERSION, text, hex);
	return 0;
}

static void close_all(struct server *s)
{
	loop_watch_free(s->console);
	control_free(s->control);
	s->control = NULL;
	workers_free(s->workers);
	store_thread_free(s->store);
	tracker_free(s->tracker);
	net_env_free(s->env);
	loaded_free(&s->loaded);
	loop_free(s->loop);
	tls_identity_free(s->identity);
	EVP_PKEY_free(s->ticket_key);
	cluster_keys_wipe(&s->keys);
	tracker_info_free(&s->info);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	log_close(s->log);
	free(s);
}

int server_main(const struct options *o)
{
	struct server *s = xalloc(sizeof(*s));
	s->options = o;
	s->lock_fd = -1;
	int code = open_all(s);
	if (code == 0 && (!net_env_on_signal(s->env, SIGTERM) || !net_env_on_signal(s->env, SIGINT) ||
	                  !net_env_on_signal(s->env, SIGHUP)))
		code = error_exit_code(SHOAL_EINTERNAL);
	if (code == 0) {
		watch_console(s);
		net_env_wake(s->env);
		loop_run(s->loop);
	}
	close_all(s);
	return code;
}
