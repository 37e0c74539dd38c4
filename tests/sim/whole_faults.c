/* tests/sim/whole_faults.c - what goes wrong in the full simulation. */
#include "tests/sim/site_sqlite.h"
#include "tests/sim/whole.h"

static void note_cut_off(struct run *r, unsigned user, bool cut_off)
{
	if (r->cut_off[user] != cut_off)
		r->cut_off_at[user] = sim_now(r->sim);
	r->cut_off[user] = cut_off;
}

static void note_parted(struct run *r, bool parted)
{
	if (r->parted != parted)
		r->parted_at = sim_now(r->sim);
	r->parted = parted;
}

/* From the other trackers. */
static void isolate(struct run *r, unsigned alone, bool parted)
{
	for (unsigned i = 0; i < TRACKERS; i++)
		for (unsigned k = 0; k < TRACKERS; k++)
			sim_block(r->sites[i].node, r->sites[k].node, parted && (i == alone) != (k == alone));
	note_parted(r, parted);
}

void whole_join_all(struct run *r)
{
	isolate(r, 0, false);
	for (unsigned i = 0; i < TRACKERS; i++) {
		for (unsigned u = 0; u < USERS_MAX; u++) {
			sim_block(r->sites[i].node, r->users.user[u].node, false);
			sim_block(r->users.user[u].node, r->sites[i].node, false);
		}
	}
	for (unsigned u = 0; u < USERS_MAX; u++)
		note_cut_off(r, u, false);
}

void whole_part(struct run *r)
{
	unsigned alone = sim_random(r->sim, TRACKERS), client = sim_random(r->sim, USERS_MAX);
	bool parted = sim_percent(r->sim, 50), cut_off = sim_percent(r->sim, 30);

	isolate(r, alone, parted);
	for (unsigned i = 0; i < TRACKERS; i++) {
		for (unsigned u = 0; u < USERS_MAX; u++) {
			bool away = (cut_off && u == client) || (parted && i == alone && u % 2 == 0);
			sim_block(r->sites[i].node, r->users.user[u].node, away);
			sim_block(r->users.user[u].node, r->sites[i].node, away);
		}
	}
	for (unsigned u = 0; u < USERS_MAX; u++)
		note_cut_off(r, u, (cut_off && u == client) || (parted && u % 2 == 0));
	r->sums->met[SOMETIMES_partition] += parted;
	r->sums->met[SOMETIMES_client_cut_off] += cut_off;
	if (parted)
		SAY(r, "tracker %u is alone", alone + 1);
	if (cut_off)
		SAY(r, "user%u is cut off", client);
}

void whole_fault(struct run *r)
{
	struct site *s = &r->sites[sim_random(r->sim, TRACKERS)];
	uint32_t dice = sim_random(r->sim, 100);
	unsigned up = 0;

	if (dice < 20 && site_up(s)) {
		SAY(r, "crash of %u", s->id);
		site_crash(s);
		r->sums->met[SOMETIMES_crash]++;
		r->sums->met[SOMETIMES_power_cut] += s->medium == &site_sqlite;
	} else if (dice < 60 && !site_up(s)) {
		SAY(r, "start of %u", s->id);
		site_boot(s);
	} else if (dice < 70 && site_up(s)) {
		sim_fail_commits(s->node, 1, sim_percent(r->sim, 50) ? SHOAL_EDISKFULL : SHOAL_EIO);
	}
	for (unsigned i = 0; i < TRACKERS; i++)
		up += site_up(&r->sites[i]);
	r->sums->met[SOMETIMES_all_down] += up == 0;
}

/* For the rest of these hours one tracker is down; or alone, but for its clients; or all is well. */
void whole_lose_sight(struct run *r)
{
	struct site *away = &r->sites[sim_random(r->sim, TRACKERS)];
	uint32_t dice = sim_random(r->sim, 3);

	if (dice == 0 && site_up(away)) {
		SAY(r, "crash of %u, for hours", away->id);
		site_crash(away);
	} else if (dice == 1) {
		SAY(r, "tracker %u is alone, for hours", away->id);
		isolate(r, away->id - 1u, true);
		r->sums->met[SOMETIMES_alone_for_hours]++;
	}
}
