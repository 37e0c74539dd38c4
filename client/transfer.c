/* client/transfer.c - the struct, and what the engine calls. */
#include "client/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/net/stream.h"

uint64_t transfers_random(void *unused)
{
	(void)unused;
	return random_u64();
}

bool transfers_plain(struct transfers *t)
{
	struct link_status s;

	if (!t->config.client->plaintext)
		return false;
	link_status(t->config.link, &s);
	return s.plaintext;
}

/* -- blocking work */

static void run_task(struct work *w)
{
	struct task *task = container_of(w, struct task, work);
	task->run(task);
}

void task_start(struct transfers *t, struct task *task)
{
	task->work.run = run_task;
	task->work.done = t->tasks_done;
	workers_post(t->workers, &task->work); /* the pool has no limit: it takes everything */
}

static void on_tasks(void *arg, struct queue_node *nodes)
{
	struct transfers *t = arg;

	while (nodes != NULL) {
		struct queue_node *next = nodes->next;
		struct task *task = container_of(container_of(nodes, struct work, node), struct task, work);
		task->done(task);
		nodes = next;
	}
	if (!t->stopping)
		downloads_run(t);
}

static void on_io(void *arg, struct queue_node *nodes)
{
	struct transfers *t = arg;

	while (nodes != NULL) {
		struct queue_node *next = nodes->next;
		peers_event(t, container_of(nodes, struct peer_event, node));
		nodes = next;
	}
	if (!t->stopping)
		downloads_run(t);
}

static void on_run(void *arg)
{
	struct transfers *t = arg;

	jobs_turn(t);
	downloads_run(t);
}

static void on_swarm_timer(void *arg)
{
	downloads_run(arg);
}

static void on_tick(void *arg)
{
	struct transfers *t = arg;
	uint64_t now = clock_mono_ms();

	peers_tick(t, now);
	channels_check_tickets(t);
	tickets_tick(t, now);
	jobs_turn(t);
	jobs_tick(t, now);
	downloads_run(t);
	loop_timer_set_ms(t->tick, TICK_MS);
}

/* -- life */

static unsigned most_connections(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY || lim.rlim_cur > 65536)
		return 32768;
	return lim.rlim_cur > 256 ? (unsigned)lim.rlim_cur / 2 : 64; /* the other half is for files */
}

static bool start_threads(struct transfers *t, struct error *e)
{
	unsigned threads = t->config.client->threads != 0 ? t->config.client->threads : workers_default_count();
	struct peer_io_config io = {
		.threads = threads, .identity = t->config.identity, .events = t->io_events, .up = &t->up_rate,
		.down = &t->down_rate, .buffers = PIECE_BUFFERS, .log = t->log,
	};
	t->io = peer_io_new(&io, e);
	return t->io != NULL;
}

struct transfers *transfers_new(const struct transfers_config *config, struct error *e)
{
	struct transfers *t = xalloc(sizeof(*t));

	net_init();
	t->config = *config;
	t->log = config->client->log;
	TAILQ_INIT(&t->peers);
	TAILQ_INIT(&t->files);
	TAILQ_INIT(&t->closed);
	TAILQ_INIT(&t->tickets);
	TAILQ_INIT(&t->jobs);
	TAILQ_INIT(&t->running);
	TAILQ_INIT(&t->waiting);
	peer_rate_init(&t->up_rate, 0);
	peer_rate_init(&t->down_rate, 0);
	t->most_peers = most_connections();
	t->io_events = queue_new();
	t->tasks_done = queue_new();
	t->workers = workers_new(workers_default_count(), 0);
	t->io_watch = loop_watch_queue(config->loop, t->io_events, on_io, t);
	t->tasks_watch = loop_watch_queue(config->loop, t->tasks_done, on_tasks, t);
	t->tick = loop_timer_new(config->loop, on_tick, t);
	t->run_timer = loop_timer_new(config->loop, on_run, t);
	t->swarm_timer = loop_timer_new(config->loop, on_swarm_timer, t);
	t->upload = upload_new(transfers_random, NULL);
	if (t->io_watch == NULL || t->tasks_watch == NULL || t->tick == NULL || t->run_timer == NULL ||
	    t->swarm_timer == NULL || t->upload == NULL)
		error_set(e, SHOAL_EBUSY, "out of memory");
	else if (start_threads(t, e))
		t->listener = listener_new(config->loop, &config->client->listen, peers_accept, t, t->log, e);
	if (t->listener == NULL) {
		transfers_free(t);
		return NULL;
	}
	loop_timer_set_ms(t->tick, TICK_MS);
	return t;
}

static void drain(struct queue *q, loop_queue_fn *fn, struct transfers *t)
{
	struct queue_node *nodes;

	while ((nodes = queue_take_all(q)) != NULL)
		fn(t, nodes);
}

static void free_files(struct transfers *t)
{
	struct file *f;

	while ((f = TAILQ_FIRST(&t->files)) != NULL) {
		f->complete = false;
		f->download = NULL;
		f->nchannels = 0;
		file_release(f);
	}
}

void transfers_free(struct transfers *t)
{
	if (t == NULL)
		return;
	t->stopping = true;
	listener_free(t->listener);
	if (t->io != NULL) {
		peers_stop(t);
		peer_io_stop(t->io);
		drain(t->io_events, on_io, t);
	}
	downloads_stop(t);
	uploads_stop(t);
	workers_free(t->workers); /* runs what waits */
	drain(t->tasks_done, on_tasks, t);
	downloads_close(t);
	free_files(t);
	jobs_free(t);
	tickets_drop_all(t);
	peer_io_free(t->io);
	upload_free(t->upload);
	loop_watch_free(t->io_watch);
	loop_watch_free(t->tasks_watch);
	loop_timer_free(t->tick);
	loop_timer_free(t->run_timer);
	loop_timer_free(t->swarm_timer);
	loop_timer_free(t->upload_timer);
	queue_free(t->io_events);
	queue_free(t->tasks_done);
	EVP_PKEY_free(t->ticket_key);
	free(t->revoked);
	peer_rate_fini(&t->up_rate);
	peer_rate_fini(&t->down_rate);
	free(t);
}

struct address transfers_listen_address(const struct transfers *t)
{
	struct address a;

	listener_address(t->listener, &a);
	return a;
}

/* -- jobs */

static uint64_t add(struct transfers *t, struct job *j)
{
	return j == NULL ? 0 : job_add(t, j);
}

uint64_t transfers_download(struct transfers *t, const struct call *c)
{
	return add(t, download_new(t, c));
}

uint64_t transfers_upload(struct transfers *t, const struct call *c)
{
	return add(t, upload_job_new(t, c));
}

bool transfers_job_info(struct transfers *t, uint64_t job, struct job_info *out)
{
	struct job *j = job_find(t, job);

	if (j == NULL)
		return false;
	if (j->ops->look != NULL)
		j->ops->look(j);
	*out = j->info;
	return true;
}

void transfers_kept(struct transfers *t, uint64_t job)
{
	struct job *j = job_find(t, job);

	if (j != NULL && !job_state_final(j->info.state))
		j->ops->kept(j);
}

unsigned transfers_running(const struct transfers *t)
{
	const struct job *j;
	unsigned n = 0;

	TAILQ_FOREACH(j, &t->jobs, entry)
		n += !job_state_final(j->info.state) && j->info.state != JOB_STATE_PAUSED;
	return n;
}

static void answer_jobs(struct transfers *t, struct call *c)
{
	const struct job *j;
	size_t n = 0;

	TAILQ_FOREACH(j, &t->jobs, entry)
		n++;
	c->jobs = n == 0 ? NULL : try_alloc(n * sizeof(*c->jobs));
	if (n > 0 && c->jobs == NULL) {
		error_set(&c->error, SHOAL_EBUSY, "out of memory");
		return;
	}
	TAILQ_FOREACH(j, &t->jobs, entry)
		transfers_job_info(t, j->info.id, &c->jobs[c->n++]);
}

static void answer_limits(struct transfers *t, struct call *c)
{
	if (c->opts.down != UINT64_MAX)
		peer_rate_set(&t->down_rate, c->opts.down);
	if (c->opts.up != UINT64_MAX) {
		peer_rate_set(&t->up_rate, c->opts.up);
		upload_set_limit(t->upload, c->opts.up);
	}
	c->opts.down = peer_rate_get(&t->down_rate);
	c->opts.up = peer_rate_get(&t->up_rate);
}

static void explain(struct job *j, struct call *c)
{
	struct buf b = { 0 };

	if (j->info.state == JOB_STATE_QUEUED)
		buf_printf(&b, "queued: %u other jobs run, which is as many as may", j->t->nactive);
	else
		j->ops->explain(j, &b);
	c->text = buf_steal_str(&b);
	if (c->text == NULL)
		error_set(&c->error, SHOAL_EBUSY, "out of memory");
}

static void answer_job(struct transfers *t, struct job *j, struct call *c)
{
	bool over = job_state_final(j->info.state);

	switch (c->kind) {
	case CALL_JOB:
		c->jobs = try_alloc(sizeof(*c->jobs));
		if (c->jobs == NULL)
			error_set(&c->error, SHOAL_EBUSY, "out of memory");
		else if (transfers_job_info(t, j->info.id, c->jobs))
			c->n = 1;
		break;
	case CALL_JOB_PEERS:
		if (j->ops->peers != NULL)
			j->ops->peers(j, c);
		break;
	case CALL_JOB_EXPLAIN: explain(j, c); break;
	case CALL_JOB_PAUSE:
		if (!over)
			job_pause(j);
		break;
	case CALL_JOB_RESUME:
		if (!over)
			job_resume(j);
		break;
	case CALL_JOB_CANCEL:
		if (!over)
			j->ops->cancel(j, c->opts.keep_part);
		break;
	case CALL_JOB_LIMIT:
		if (j->ops->limit != NULL)
			j->ops->limit(j, c->opts.limit);
		break;
	default: error_set(&c->error, SHOAL_EINTERNAL, "not a job's call"); break;
	}
	loop_timer_set_ms(t->run_timer, 0);
}

void transfers_answer(struct transfers *t, struct call *c)
{
	struct job *j;

	c->error = (struct error){ 0 };
	if (c->kind == CALL_JOBS) {
		answer_jobs(t, c);
	} else if (c->kind == CALL_LIMITS) {
		answer_limits(t, c);
	} else {
		j = job_find(t, c->job);
		if (j == NULL)
			error_set(&c->error, SHOAL_ENOTFOUND, "there is no job %llu", (unsigned long long)c->job);
		else
			answer_job(t, j, c);
	}
}

/* -- shares */

void transfers_serve(struct transfers *t, const struct share_info *share, const struct id32 *content)
{
	struct file *f = file_get(t, &share->gid, &share->fid, content, share->size);

	if (f == NULL)
		return;
	struct file_stamp stamp = { .size = share->size, .mtime_ns = share->mtime_ns, .inode = share->inode };
	bool stamped = share->mtime_ns != 0 || share->inode != 0;
	if (f->complete && strcmp(f->path, share->path) == 0 && stamped && f->has_stamp && file_stamp_eq(&f->stamp, &stamp))
		return;
	file_set_complete(f, share->path);
	f->has_stamp = f->complete && stamped;
	f->stamp = stamp;
}

void transfers_unserve(struct transfers *t, const struct id16 *gid, const struct id16 *fid)
{
	struct file *f = file_find(t, fid);

	if (f == NULL || !id16_eq(&f->gid, gid) || !f->complete)
		return;
	f->complete = false;
	if (f->download == NULL)
		file_close_channels(f, SHOAL_ENOTFOUND);
	file_drop_source(f);
	file_release(f);
}

void transfers_unserve_all(struct transfers *t)
{
	struct file *f, *next;

	t->logged_in = false;
	downloads_on_logout(t);
	for (f = TAILQ_FIRST(&t->files); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		f->complete = false;
		file_close_channels(f, SHOAL_EDENIED);
		file_drop_source(f);
		file_release(f);
	}
	tickets_drop_all(t);
	downloads_run(t);
}

/* -- news of the link */

void transfers_on_login(struct transfers *t)
{
	t->logged_in = true;
	downloads_on_login(t);
	downloads_run(t);
}

void transfers_on_revoke(struct transfers *t, const struct id16 *gid, const struct id16 *uid)
{
	struct link_status s;
	struct channel *ch, *next;
	struct file *f = TAILQ_FIRST(&t->files), *after;

	link_status(t->config.link, &s);
	bool me = id16_eq(&s.uid, uid);
	tickets_revoke(t, gid, uid);
	if (me)
		downloads_on_revoke(t, gid);
	for (; f != NULL; f = after) {
		after = TAILQ_NEXT(f, entry);
		if (!id16_eq(&f->gid, gid))
			continue;
		f->nchannels++;
		for (ch = TAILQ_FIRST(&f->channels); ch != NULL; ch = next) {
			next = TAILQ_NEXT(ch, in_file);
			if (me || (ch->may_ask && id16_eq(&ch->uid, uid)))
				channel_close(ch, CHANNEL_TELL, SHOAL_EDENIED);
		}
		f->nchannels--;
		file_release(f);
	}
	downloads_run(t);
}

void transfers_on_joined(struct transfers *t, const struct id16 *gid, struct slice user)
{
	tickets_readmit(t, gid, user);
}

void transfers_on_dial(struct transfers *t, const struct id16 *fid, const struct address *addr, const struct id32 *identity)
{
	struct file *f = file_find(t, fid);

	/* Only for a file that we have to do with: a tracker cannot make us knock anywhere. */
	if (f == NULL || peer_find(t, identity) != NULL || id32_eq(identity, &t->config.identity->id))
		return;
	downloads_know(t, fid, identity, addr);
	peer_dial(t, identity, addr, transfers_plain(t));
}
