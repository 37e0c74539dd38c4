/* tests/sim/users.h - users at client/link.c, the real one, doing what users do, and what they were told. */
#ifndef SHOAL_TESTS_USERS_H
#define SHOAL_TESTS_USERS_H
#include "client/link.h"
#include "core/registry/file_manager.h"
#include "tests/sim/sim_env.h"

#define USERS_MAX 4
#define FACTS_MAX 400

enum fact_kind { FACT_GROUP, FACT_JOIN, FACT_ACCEPT, FACT_LEAVE, FACT_UPLOAD };

/* One command that a user gave, and its answer. `other` is who was accepted, or the file's number. */
struct fact {
	enum fact_kind kind;
	unsigned user, group, other;
	bool exists;              /* told that it exists already: nobody else could have made it */
	bool answered, ok;
	bool maybe;               /* it ended without an answer, or with another tracker's: it may have happened */
	unsigned losses;          /* of the user's connection when it was given */
	struct stamp stamp;
	struct user *by;
};

struct user_counts {
	uint64_t commands, acked, failed, unknown, failovers, resumed, uploads, events, refused_busy, passwords, logouts;
};

struct users;

struct user {
	struct users *all;
	unsigned number, names;    /* a new name when it is not known whether the last one was taken */
	char name[16], password[16], other_password[16]; /* other: what it may be instead */
	unsigned passwords;        /* changes asked for */
	bool unsure;               /* a change was not answered with success: either may be right */
	uint64_t not_before;       /* no login until then */
	struct id16 uid;           /* once logged in */
	struct sim_node *node;
	struct link *link;
	bool created, busy, alive; /* alive: its last question was answered since users_ask_all() */
	unsigned losses;           /* of its connection, so far */
	uint64_t moved_at;         /* when it was last lost or made, in virtual time */
	uint64_t given;            /* when the command under way was given, */
	unsigned given_losses;     /* and how often the connection had been lost by then */
	link_reply_fn *reply;      /* what it does with the answer */
	struct fact *fact;         /* of the command under way; NULL: one without */
	struct id16 gid;
};

struct users {
	struct sim *sim;
	const struct tracker_info *trackers;
	struct user user[USERS_MAX];
	unsigned n, groups;
	struct fact facts[FACTS_MAX];
	unsigned n_facts;
	struct user_counts counts;
	/* Told of each command that has its answer, before its user is; may be NULL. */
	void (*answered)(void *owner, const struct user *u, const struct link_reply *r);
	void *owner;
};

void users_init(struct users *u, struct sim *sim, const struct tracker_info *trackers, unsigned n);
void users_fini(struct users *u);
/* One command of a random user, if one is free. */
void users_act(struct users *u);
/* After healing: everybody asks something; true once all have had their answer and nothing is open. */
void users_ask_all(struct users *u);
bool users_all_answered(const struct users *u);
/* Whether that was ever tried, or, with `sure`, answered with success. */
bool users_known(const struct users *u, enum fact_kind kind, unsigned user, unsigned group, unsigned other, bool sure);
struct slice users_group_name(unsigned group, char out[16]);
/* An upload is three commands: check, hashes, the op. Each user's file has its own name and content. */
void users_file_of(const struct user *u, unsigned group, struct upload *up, uint8_t hashes[64], char name[32]);
/* What they were told against one tracker's rows. False: `why` says what is wrong. */
bool users_check(const struct users *u, const struct registry *reg, char *why, size_t size);
#endif
