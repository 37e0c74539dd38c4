/* client/engine.c - the engine's thread: what it is made of, how it starts and ends, and what the link tells it.
 *
 * engine_start() makes everything on the caller's thread and then hands it to the new one; engine_free() joins it and
 * takes everything apart again. In between nothing but the queues is shared. */
#include "client/engine.h"

#include <stdio.h>
#include <string.h>

#include "client/engine_impl.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

/* -- what the link asks and tells */

static uint64_t step(void *owner, const struct env_event *ev)
{
	struct engine *en = owner;
	return link_step(en->link, ev);
}

static void wake_link(void *owner)
{
	struct engine *en = owner;
	net_env_wake(en->net);
}

static enum shoal_err check_pin(void *owner, const struct address *dialled, const struct id32 *identity, struct error *e)
{
	struct engine *en = owner;
	bool first = false;
	char address[ADDRESS_MAX], hex[HEX32_SIZE];
	enum shoal_err rc = known_trackers_check(en->known, dialled, identity, &first, e);

	if (rc == SHOAL_OK && first) {
		struct client_event *ev = engine_event(en, EVENT_TRACKER);
		ev->word = event_word(EVENT_NOTE);
		hex_encode(identity->b, sizeof(identity->b), hex);
		snprintf(ev->text, sizeof(ev->text), "first contact with %s: its identity sha256:%s is trusted from now on",
		         address_format(dialled, address), hex);
		log_line(en->log, LOG_INFO, "link", "%s", ev->text);
		engine_tell(en, ev);
	}
	return rc;
}

static void tell_link_news(struct engine *en, enum client_event_type type, const struct link_news *news)
{
	struct client_event *ev = engine_event(en, type);

	ev->tracker = news->tracker;
	if (news->user != NULL)
		snprintf(ev->user, sizeof(ev->user), "%s", news->user);
	if (news->text != NULL)
		snprintf(ev->text, sizeof(ev->text), "%s", news->text);
	engine_tell(en, ev);
}

static void on_news(void *owner, const struct link_news *news)
{
	struct engine *en = owner;

	switch (news->type) {
	case LINK_UP: tell_link_news(en, EVENT_TRACKER_UP, news); break;
	case LINK_LOST: tell_link_news(en, EVENT_TRACKER_LOST, news); break;
	case LINK_REFUSED: tell_link_news(en, EVENT_TRACKER_REFUSED, news); break;
	case LINK_LACKS: tell_link_news(en, EVENT_TRACKER_LACKS, news); break;
	case LINK_LOGGED_IN:
		engine_on_logged_in(en);
		tell_link_news(en, EVENT_LOGGED_IN, news);
		break;
	case LINK_LOGGED_OUT:
		engine_on_logged_out(en);
		tell_link_news(en, EVENT_LOGGED_OUT, news);
		break;
	case LINK_ASK: tell_link_news(en, EVENT_ASK_LOGIN, news); break;
	case LINK_EVENT: engine_on_tracker_event(en, news); break;
	case LINK_SHARES_DIFFER: engine_on_differ(en); break;
	}
}

/* -- making */

/* The folders that must be there, private to the user. */
static enum shoal_err make_folders(struct engine *en, char **data, struct error *e)
{
	const char *root = en->config->root;
	char *cache = fs_xdg(XDG_CACHE, root);
	enum shoal_err rc = SHOAL_OK;

	*data = fs_xdg(XDG_DATA, root);
	en->state_folder = fs_xdg(XDG_STATE, root);
	if (*data == NULL || en->state_folder == NULL || cache == NULL) {
		rc = error_set(e, SHOAL_EUSAGE, "neither HOME nor the XDG variables are set: use --data FOLDER");
	} else {
		en->meta_folder = str_printf("%s/meta", cache);
		en->known_path = str_printf("%s/known_trackers", *data);
		rc = fs_mkdirs(*data, 0700, e);
		if (rc == SHOAL_OK)
			rc = fs_mkdirs(en->state_folder, 0700, e);
		if (rc == SHOAL_OK)
			rc = fs_mkdirs(en->meta_folder, 0700, e);
	}
	free(cache);
	return rc;
}

static enum shoal_err make_identity(struct engine *en, struct error *e)
{
	const struct id32 *pinned = en->config->pinned ? &en->config->cluster : NULL;
	char *data = NULL;
	enum shoal_err rc = make_folders(en, &data, e);

	if (rc == SHOAL_OK && (en->known = known_trackers_open(en->known_path, &en->config->trackers, pinned, e)) == NULL)
		rc = SHOAL_EUSAGE;
	if (rc == SHOAL_OK && (en->device = device_open(data, e)) == NULL)
		rc = SHOAL_EIO;
	if (rc == SHOAL_OK && (en->identity = tls_identity_new(device_seed(en->device), e)) == NULL)
		rc = SHOAL_EINTERNAL;
	free(data);
	return rc;
}

static bool make_link(struct engine *en, struct error *e)
{
	struct net_env_config net = { .loop = en->loop, .identity = en->identity, .log = en->log, .step = step, .owner = en };

	en->net = net_env_new(&net, e);
	if (en->net == NULL)
		return false;
	struct link_config link_config = { .env = net_env_env(en->net),
		                           .trackers = &en->config->trackers,
		                           .listen = en->config->listen,
		                           .auto_login = en->config->auto_login,
		                           .pin = check_pin,
		                           .news = on_news,
		                           .wake = wake_link,
		                           .owner = en };
	en->link = link_new(&link_config);
	return true;
}

static bool make_transfers(struct engine *en, struct error *e)
{
	struct transfers_config config = { .client = en->config,
		                           .loop = en->loop,
		                           .link = en->link,
		                           .identity = en->identity,
		                           .meta_folder = en->meta_folder,
		                           .job_event = engine_on_job_event,
		                           .shared = engine_on_shared,
		                           .unshared = engine_on_unshared,
		                           .owner = en };

	en->transfers = transfers_new(&config, e);
	if (en->transfers == NULL)
		return false;
	en->listen = transfers_listen_address(en->transfers);
	link_set_listen(en->link, en->config->has_announce ? &en->config->announce : &en->listen);
	return true;
}

static bool make_watches(struct engine *en, struct error *e)
{
	en->calls_watch = loop_watch_queue(en->loop, en->calls, engine_take_calls, en);
	en->opened_watch = loop_watch_queue(en->loop, en->opened, engine_take_opened, en);
	en->kept_watch = loop_watch_queue(en->loop, en->kept, engine_take_kept, en);
	en->waits_timer = loop_timer_new(en->loop, engine_waits_on_time, en);
	en->progress_timer = loop_timer_new(en->loop, engine_progress_on_time, en);
	en->compare_timer = loop_timer_new(en->loop, engine_compare_on_time, en);
	if (en->calls_watch != NULL && en->opened_watch != NULL && en->kept_watch != NULL && en->waits_timer != NULL &&
	    en->progress_timer != NULL && en->compare_timer != NULL)
		return true;
	error_set(e, SHOAL_EBUSY, "out of memory");
	return false;
}

static void *run(void *arg)
{
	struct engine *en = arg;

	pthread_setname_np(pthread_self(), "shoal engine");
	net_env_wake(en->net); /* the first step of the link: it dials */
	loop_run(en->loop);
	return NULL;
}

struct engine *engine_start(const struct client_config *config, struct error *e)
{
	struct engine *en = xalloc(sizeof(*en));

	en->config = config;
	en->log = config->log;
	en->calls = queue_new();
	en->events = queue_new();
	en->opened = queue_new();
	en->kept = queue_new();
	en->disk = workers_new(1, 0);
	TAILQ_INIT(&en->verbs);
	TAILQ_INIT(&en->waits);
	if (make_identity(en, e) == SHOAL_OK && (en->loop = loop_new(e)) != NULL && make_link(en, e) &&
	    make_transfers(en, e) && make_watches(en, e)) {
		en->thread_runs = pthread_create(&en->thread, NULL, run, en) == 0;
		if (en->thread_runs)
			return en;
		error_set(e, SHOAL_EINTERNAL, "cannot start the engine's thread");
	}
	engine_free(en);
	return NULL;
}

/* -- the end */

/* What nobody will take any more: calls and the answers in events. */
static void drain_queues(struct engine *en)
{
	struct queue_node *node, *next;

	for (node = queue_take_all(en->calls); node != NULL; node = next) {
		next = node->next;
		if (node != &en->quit)
			call_free(container_of(node, struct call, node));
	}
	for (node = queue_take_all(en->events); node != NULL; node = next) {
		struct client_event *ev = container_of(node, struct client_event, node);
		next = node->next;
		call_free(ev->call);
		client_event_free(ev);
	}
}

static void free_watches(struct engine *en)
{
	loop_watch_free(en->calls_watch);
	loop_watch_free(en->opened_watch);
	loop_watch_free(en->kept_watch);
	loop_timer_free(en->waits_timer);
	loop_timer_free(en->progress_timer);
	loop_timer_free(en->compare_timer);
}

void engine_free(struct engine *en)
{
	if (en == NULL)
		return;
	if (en->thread_runs) {
		queue_post(en->calls, &en->quit);
		pthread_join(en->thread, NULL);
	}
	en->stopping = true;
	workers_free(en->disk); /* runs what was posted: `opened` is complete then */
	engine_take_opened(en, queue_take_all(en->opened));
	transfers_free(en->transfers);
	en->transfers = NULL;
	link_free(en->link); /* answers what is open */
	en->link = NULL;
	engine_calls_free(en);
	engine_login_free(en);
	engine_progress_free(en);
	shares_close(en->shares); /* runs what was posted: `kept` is complete then */
	engine_take_kept(en, queue_take_all(en->kept));
	free_watches(en);
	net_env_free(en->net);
	if (en->loop != NULL)
		loop_free(en->loop);
	tls_identity_free(en->identity);
	device_close(en->device);
	known_trackers_close(en->known);
	drain_queues(en);
	queue_free(en->calls);
	queue_free(en->events);
	queue_free(en->opened);
	queue_free(en->kept);
	free(en->state_folder);
	free(en->meta_folder);
	free(en->known_path);
	free(en);
}

void engine_post(struct engine *en, struct call *c)
{
	queue_post(en->calls, &c->node);
}

struct queue *engine_events(struct engine *en)
{
	return en->events;
}

struct address engine_listen_address(const struct engine *en)
{
	return en->listen;
}
