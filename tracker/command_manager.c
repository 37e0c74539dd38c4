/* tracker/command_manager.c - commands: one table, applied once, answered when durable.
 *
 * A frame becomes a struct command; its handler checks, changes the registry through the commit queue, or waits for the
 * password pool or the store. command_finish() makes the reply's frames, which leave behind the commit barrier: what a
 * reply shows or says was done is on disk. A request id that is known already changes nothing: its old stamp is the
 * answer, with the fields that the handler can tell again (cmd->replay). */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/base/planted.h"
#include "core/base/mem.h"
#include "tracker/core.h"

/* The table. needs_login and changes are cmd.h's columns. */
static const struct verb {
	command_handler *handler;
	bool needs_login, changes, is_list;
	const char *word;
} verbs[] = {
#define IS_LIST_row_none 0
#define IS_LIST_row_group 1
#define IS_LIST_row_request 1
#define IS_LIST_row_member 1
#define IS_LIST_row_file 1
#define IS_LIST_row_peer 1
#define IS_LIST_row_share 1
#define IS_LIST_row_tracker 1
#define IS_LIST_row_conflict 1
#define IS_LIST_row_session 1
#define X(num, NAME, word_, req, rep, row, login, change) \
	[num] = { .handler = command_##word_,             \
		  .needs_login = login,                   \
		  .changes = change,                      \
		  .is_list = IS_LIST_##row,               \
		  .word = #word_ },
	CMD_VERBS(X)
#undef X
};

static void drop_pages(struct command *cmd)
{
	struct page *p;
	while ((p = TAILQ_FIRST(&cmd->pages)) != NULL) {
		TAILQ_REMOVE(&cmd->pages, p, link);
		buf_free(&p->rows);
		free(p);
	}
}

static void free_command(struct command *cmd)
{
	struct client *c = client_find(cmd->t, cmd->conn);
	if (c != NULL) {
		c->in_flight--;
		c->owed -= cmd->reply_bytes;
		cmd->t->pump_now |= c->held.len != 0;
	}
	if (cmd->body.data != NULL)
		OPENSSL_cleanse(cmd->body.data, cmd->body.cap); /* it may hold a password */
	if (cmd->state != NULL && cmd->state_free != NULL)
		cmd->state_free(cmd->state);
	buf_free(&cmd->body);
	buf_free(&cmd->reply);
	drop_pages(cmd);
	free(cmd);
}

/* -- replies */
static void send_reply(struct command *cmd, struct client *c, const struct page *page, bool more)
{
	struct buf frame = { 0 };
	size_t start = frame_begin(&frame, TAG_RPLY);
	bool ok = cmd->code == SHOAL_OK, stamped = ok && !stamp_is_zero(&cmd->stamp);
	struct rply_head head = { .serial = cmd->head.serial, .code = cmd->code, .stamp = cmd->stamp };

	head.flags = (uint8_t)((more ? RPLY_MORE : 0) | (stamped ? RPLY_STAMP : 0) | (!ok && cmd->lacks ? RPLY_LACKS : 0) |
	                       (stamped && cmd->waits_for_others ? RPLY_SYNCED : 0));
	head.synced = cmd->others;
	if (!ok)
		head.message = slice_str(cmd->error.message[0] != '\0' ? cmd->error.message : error_default(cmd->code));
	rply_head_put(&frame, &head);
	if (ok) {
		buf_put(&frame, cmd->reply.data, cmd->reply.len);
		if (cmd->is_list)
			buf_put_u16(&frame, page != NULL ? page->n : 0);
		if (page != NULL)
			buf_put(&frame, page->rows.data, page->rows.len);
	}
	if (frame_end(&frame, start) != SHOAL_OK)
		frame.failed = true;
	if (!ok)
		log_line(cmd->t->env->log, LOG_DEBUG, "command", "%s refused: %s: %.*s", verb_word(cmd->head.verb),
		         error_word(cmd->code), (int)head.message.len, (const char *)head.message.data);
	client_send(cmd->t, c, &frame);
}

static void send_replies(struct command *cmd)
{
	struct client *c = client_find(cmd->t, cmd->conn);
	struct page *p;

	if (c == NULL)
		return;
	if (cmd->code != SHOAL_OK || TAILQ_EMPTY(&cmd->pages)) {
		send_reply(cmd, c, NULL, false);
		return;
	}
	TAILQ_FOREACH(p, &cmd->pages, link)
		send_reply(cmd, c, p, TAILQ_NEXT(p, link) != NULL);
}

static void reply_and_end(struct command *cmd)
{
	send_replies(cmd);
	struct client *c = client_find(cmd->t, cmd->conn);
	if (c != NULL && c->welcome) {
		c->welcome = false;
		session_welcome(cmd->t, c);
	}
	free_command(cmd);
}

static unsigned others_wanted(const struct tracker *t)
{
	return PLANTED(reply_waits) && t->config.min_sync == 0 ? 1 : t->config.min_sync;
}

/* --min-sync: enough others have it, or the time is over. Never a failure: the change is made and durable here. */
static bool poll_others(struct command *cmd)
{
	size_t have = sync_count_acked(cmd->t->sync, &cmd->stamp, 1) + PLANTED(synced_early);

	cmd->others = (uint16_t)have;
	if (have < others_wanted(cmd->t) && have < sync_peer_count(cmd->t->sync) && tracker_now(cmd->t) < cmd->deadline_ms)
		return false;
	reply_and_end(cmd);
	return true;
}

static void wait_for_others(struct command *cmd)
{
	struct tracker *t = cmd->t;

	cmd->waits_for_others = t->config.min_sync != 0;
	cmd->poll = poll_others;
	cmd->deadline_ms = tracker_now(t) + MIN_SYNC_MS;
	TAILQ_INSERT_TAIL(&t->synced, cmd, synced_link);
	if (cmd->deadline_ms < t->synced_ms)
		t->synced_ms = cmd->deadline_ms;
	t->starved = true;
}

static void on_durable(void *arg, enum shoal_err result)
{
	struct command *cmd = arg;
	if (result == SHOAL_ECANCELLED) { /* the tracker is being taken down */
		free_command(cmd);
		return;
	}
	if (cmd->code == SHOAL_OK && result != SHOAL_OK) {
		cmd->code = result;
		error_set(&cmd->error, result, "the tracker could not save this: %s; nothing was changed",
		          error_default(result));
	}
	cmd->c = client_find(cmd->t, cmd->conn);
	if (cmd->code == SHOAL_OK && cmd->durable != NULL)
		cmd->durable(cmd);
	if (cmd->code == SHOAL_OK && others_wanted(cmd->t) != 0 && !stamp_is_zero(&cmd->stamp))
		wait_for_others(cmd);
	else
		reply_and_end(cmd);
}

void command_finish(struct command *cmd, enum shoal_err code, const struct error *e)
{
	struct client *c = client_find(cmd->t, cmd->conn);
	struct page *p;

	cmd->code = cmd->reply.failed ? SHOAL_EBUSY : code;
	if (code != SHOAL_OK && e != NULL)
		cmd->error = *e;
	TAILQ_FOREACH(p, &cmd->pages, link)
		cmd->reply_bytes += p->rows.len;
	if (c != NULL) {
		cmd->reply_bytes += cmd->reply.len;
		c->owed += cmd->reply_bytes;
	} else {
		cmd->reply_bytes = 0;
	}
	if (commit_barrier(cmd->t->commit, on_durable, cmd) == SHOAL_OK)
		return;
	cmd->code = SHOAL_EBUSY; /* no memory: it shows nothing, so it need not wait */
	cmd->error = (struct error){ 0 };
	send_replies(cmd);
	free_command(cmd);
}

struct buf *command_row(struct command *cmd)
{
	struct page *last = TAILQ_LAST(&cmd->pages, pages);
	if (last != NULL && last->rows.len < PAGE_BYTES && last->n < UINT16_MAX)
		return &last->rows;
	struct page *p = try_alloc(sizeof(*p));
	if (p == NULL) {
		cmd->reply.failed = true;
		return NULL;
	}
	TAILQ_INSERT_TAIL(&cmd->pages, p, link);
	return &p->rows;
}

void command_rows(struct command *cmd, struct slice rows, uint16_t n)
{
	struct page *p = try_alloc(sizeof(*p));
	if (p == NULL) {
		cmd->reply.failed = true;
		return;
	}
	p->n = n;
	buf_put(&p->rows, rows.data, rows.len);
	cmd->reply.failed |= p->rows.failed;
	TAILQ_INSERT_TAIL(&cmd->pages, p, link);
}

void command_row_done(struct command *cmd)
{
	struct page *last = TAILQ_LAST(&cmd->pages, pages);
	last->n++;
	if (last->rows.failed)
		cmd->reply.failed = true;
}

/* -- changes */
void command_op_begin(struct command *cmd, enum op_kind kind, struct op *op)
{
	op_begin(cmd->t->reg, kind, id16_is_zero(&cmd->head.request) ? NULL : &cmd->head.request, tracker_wall(cmd->t),
	         op);
}

void command_op_begin_part(struct command *cmd, enum op_kind kind, struct op *op)
{
	op_begin(cmd->t->reg, kind, NULL, tracker_wall(cmd->t), op);
}

enum shoal_err command_commit(struct command *cmd, struct op *op, struct error *e)
{
	struct tracker *t = cmd->t;
	t->acting = cmd->conn;
	enum shoal_err rc = commit_op(t->commit, op, &cmd->stamp, e);
	t->acting = 0;
	return rc;
}

/* -- waiting */
static enum shoal_err add_waiting(struct command *cmd, command_resume_fn *resume, uint64_t *cookie, struct error *e)
{
	struct tracker *t = cmd->t;
	struct waiting *w = try_alloc(sizeof(*w));
	if (w != NULL) {
		w->cookie = t->next_cookie++;
		w->cmd = cmd;
		HASH_ADD(hh, t->waiting, cookie, sizeof(w->cookie), w);
		if (w->hh.tbl == NULL) {
			free(w);
			w = NULL;
		}
	}
	if (w == NULL)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	cmd->resume = resume;
	cmd->later = true;
	*cookie = w->cookie;
	return SHOAL_OK;
}

/* NULL if nobody waits for that. */
static struct command *take_waiting(struct tracker *t, uint64_t cookie)
{
	struct waiting *w;
	HASH_FIND(hh, t->waiting, &cookie, sizeof(cookie), w);
	if (w == NULL)
		return NULL;
	struct command *cmd = w->cmd;
	HASH_DEL(t->waiting, w);
	free(w);
	return cmd;
}

enum shoal_err command_await_work(struct command *cmd, const struct env_work *work, command_resume_fn *resume,
                                  struct error *e)
{
	struct tracker *t = cmd->t;
	uint64_t cookie;
	enum shoal_err rc = add_waiting(cmd, resume, &cookie, e);

	if (rc == SHOAL_OK && t->env->work(t->env->ctx, work, cookie) == SHOAL_OK)
		return SHOAL_OK;
	if (rc == SHOAL_OK) {
		take_waiting(t, cookie);
		rc = error_set(e, SHOAL_EBUSY, "too many people are logging in, try again");
	}
	cmd->later = false;
	return rc;
}

enum shoal_err command_await_content(struct command *cmd, struct content_op *op, command_resume_fn *resume,
                                     struct error *e)
{
	uint64_t cookie;
	enum shoal_err rc = add_waiting(cmd, resume, &cookie, e);
	if (rc == SHOAL_OK)
		cmd->t->env->content(cmd->t->env->ctx, op, cookie);
	else
		content_op_free(op);
	return rc;
}

bool command_on_event(struct tracker *t, const struct env_event *ev)
{
	struct command *cmd = take_waiting(t, ev->cookie);
	if (cmd == NULL)
		return false;
	cmd->c = client_find(t, cmd->conn);
	cmd->later = false;
	cmd->resume(cmd, ev);
	return true;
}

enum shoal_err command_await_synced(struct command *cmd, uint64_t deadline_ms, command_poll_fn *poll, struct error *e)
{
	if (cmd->c->waits >= WAITS_MAX)
		return error_set(e, SHOAL_EBUSY, "you wait for other trackers %u times already", cmd->c->waits);
	cmd->c->waits++;
	cmd->counted = true;
	command_park(cmd, deadline_ms, poll);
	return SHOAL_OK;
}

void command_park(struct command *cmd, uint64_t deadline_ms, command_poll_fn *poll)
{
	struct tracker *t = cmd->t;
	cmd->later = true;
	cmd->poll = poll;
	cmd->deadline_ms = deadline_ms;
	TAILQ_INSERT_TAIL(&t->synced, cmd, synced_link);
	if (deadline_ms < t->synced_ms)
		t->synced_ms = deadline_ms;
	t->starved = true;
}

/* False: it is to wait on. */
static bool poll_one(struct command *cmd)
{
	struct client *c = client_find(cmd->t, cmd->conn);
	bool counted = cmd->counted;
	cmd->c = c;
	if (!cmd->poll(cmd))
		return false;
	if (c != NULL && counted)
		c->waits--;
	return true;
}

void commands_poll(struct tracker *t)
{
	struct commands go_on = TAILQ_HEAD_INITIALIZER(go_on);
	struct command *cmd;

	t->starved = false;
	TAILQ_CONCAT(&go_on, &t->synced, synced_link);
	t->synced_ms = ENV_NEVER;
	while ((cmd = TAILQ_FIRST(&go_on)) != NULL) {
		TAILQ_REMOVE(&go_on, cmd, synced_link);
		if (poll_one(cmd))
			continue;
		TAILQ_INSERT_TAIL(&t->synced, cmd, synced_link);
		if (cmd->deadline_ms < t->synced_ms)
			t->synced_ms = cmd->deadline_ms;
	}
}

void commands_free(struct tracker *t)
{
	struct waiting *w, *next;
	struct command *cmd;

	HASH_ITER(hh, t->waiting, w, next) {
		HASH_DEL(t->waiting, w);
		free_command(w->cmd);
		free(w);
	}
	while ((cmd = TAILQ_FIRST(&t->synced)) != NULL) {
		TAILQ_REMOVE(&t->synced, cmd, synced_link);
		free_command(cmd);
	}
}

/* -- the door */
static enum shoal_err check_may(struct command *cmd, const struct verb *v, struct error *e)
{
	struct tracker *t = cmd->t;
	if (!cmd->c->greeted && cmd->head.verb != VERB_HELLO)
		return error_set(e, SHOAL_EPROTO, "the first command must be hello");
	if (v->needs_login && !cmd->logged_in)
		return error_set(e, SHOAL_EAUTH, "log in first");
	if (!v->changes)
		return SHOAL_OK;
	if (id16_is_zero(&cmd->head.request))
		return error_set(e, SHOAL_EPROTO, "a changing command needs a request id");
	cmd->replay = registry_known_request(t->reg, &cmd->head.request, &cmd->stamp);
	if (cmd->replay)
		return SHOAL_OK;
	cmd->stamp = (struct stamp){ 0 };
	enum shoal_err rc = sync_check_writable(t->sync, e);
	return rc == SHOAL_OK ? commit_check_writable(t->commit, e) : rc;
}

static struct command *new_command(struct tracker *t, struct client *c, struct slice body)
{
	struct command *cmd = try_alloc(sizeof(*cmd));
	if (cmd == NULL)
		return NULL;
	TAILQ_INIT(&cmd->pages);
	cmd->t = t;
	cmd->c = c;
	cmd->conn = c->conn;
	cmd->uid = c->uid;
	cmd->logged_in = c->logged_in;
	c->in_flight++;
	buf_put(&cmd->body, body.data, body.len);
	if (cmd->body.failed) {
		free_command(cmd);
		return NULL;
	}
	cmd->fields = cursor_of(cmd->body.data, cmd->body.len);
	cmd_head_get(&cmd->fields, &cmd->head);
	return cmd;
}

/* -v: one line a command; passwords are starred. */
static void log_command(struct tracker *t, const struct client *c, struct slice body)
{
	char address[ADDRESS_MAX];
	struct buf text = { 0 };
	if (!log_wants(t->env->log, LOG_DEBUG))
		return;
	cmd_print(&text, body);
	if (!text.failed)
		log_line(t->env->log, LOG_DEBUG, "command", "%s: %.*s", address_format(&c->seen, address),
		         (int)text.len, (const char *)text.data);
	buf_free(&text);
}

/* `held`: *e is the answer, if it is not parked. */
static void run(struct command *cmd, bool held, struct error *e)
{
	struct tracker *t = cmd->t;
	struct client *c = cmd->c;
	const struct verb *v = &verbs[cmd->head.verb]; /* cmd_check() has let only known ones through */
	enum shoal_err rc = held ? e->code : check_may(cmd, v, e);

	if (rc == SHOAL_OK && !held)
		rc = v->handler(cmd, e);
	if (!cmd->later)
		command_finish(cmd, rc, e);
	if (rc == SHOAL_EPROTO)
		client_doom(t, c, "%.100s", e->message);
}

void command_go_on(struct command *cmd)
{
	struct error e = { 0 };

	cmd->later = false;
	cmd->counted = false;
	cmd->uid = cmd->c->uid; /* the session may have ended meanwhile */
	cmd->logged_in = cmd->c->logged_in;
	run(cmd, false, &e);
}

void command_run(struct tracker *t, struct client *c, struct slice body)
{
	struct command *cmd = new_command(t, c, body);
	struct error e = { 0 };

	if (cmd == NULL) {
		client_doom(t, c, "out of memory");
		return;
	}
	log_command(t, c, body);
	cmd->is_list = verbs[cmd->head.verb].is_list;
	bool held = lacks_hold(cmd, &e);
	run(cmd, held, &e);
}
