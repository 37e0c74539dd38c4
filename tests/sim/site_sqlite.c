/* tests/sim/site_sqlite.c */
#include "tests/sim/site_sqlite.h"

#include "tests/sim/crash_vfs.h"
#include "tracker/store_sqlite.h"

static void open_sqlite(struct site *s, uint64_t log, struct vvec *floor)
{
	struct error e = { 0 };

	if (s->flash == NULL)
		s->flash = crash_disk_new();
	crash_disk_mount(s->flash);
	enum shoal_err rc = store_sqlite_ops.open("tracker.db", &s->store, &e);
	crash_disk_mount(NULL);
	if (rc == SHOAL_OK) {
		site_load(s, log, floor);
		rc = store_sqlite_forget_unfinished(s->store, &e);
	}
	site_must(rc, e.message); /* a database that a power cut has damaged is the end of this */
}

static void cut_sqlite(struct site *s)
{
	struct crash_disk *old = s->flash;
	struct crash_cut cut = { .events = crash_disk_events(old),
		                 .kind = (enum crash_kind)sim_random(s->sim, CRASH_KINDS),
		                 .sector = sim_percent(s->sim, 50) ? 512 : 4096,
		                 .seed = sim_now(s->sim) };

	s->flash = crash_disk_cut(old, &cut);
	store_sqlite_ops.close(s->store); /* it would flush: too late */
	crash_disk_free(old);
}

static void lose_sqlite(struct site *s)
{
	crash_disk_free(s->flash);
	s->flash = NULL;
}

static void fini_sqlite(struct site *s)
{
	site_memory.fini(s);
	crash_disk_free(s->flash);
}

const struct site_medium site_sqlite = { &store_sqlite_ops, open_sqlite, cut_sqlite, lose_sqlite, fini_sqlite };
