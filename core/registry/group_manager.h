/* core/registry/group_manager.h - groups, members, requests, owners.
 *
 * Commands as in user_manager.h; `uid` is who acts. A group ends when its last member leaves or its owner deletes it; a
 * dead group has no claim on its name. Owner: the one the group was handed to, while a member; else the member who was
 * accepted first. He may make members admins, who answer requests and remove members, but not each other. */
#ifndef SHOAL_REGISTRY_GROUP_MANAGER_H
#define SHOAL_REGISTRY_GROUP_MANAGER_H
#include "core/base/name.h"
#include "core/registry/registry.h"

#define REASON_MAX 200

/* -- commands: SHOAL_EDENIED "not a member of 'team'", "only the owner or an admin of 'team' may accept requests";
 * SHOAL_EEXISTS "group 'team' exists already", "a member of 'team' already"; SHOAL_ENOTFOUND */
enum shoal_err group_create(const struct registry *reg, struct op *op, const struct id16 *uid, struct slice name,
                            struct id16 *gid, struct error *e);
enum shoal_err group_join(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                          struct error *e);
enum shoal_err group_accept(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                            const struct id16 *who, struct error *e);
/* As group_accept(), and with a role at once: only the owner may give another than ROLE_MEMBER. */
enum shoal_err group_accept_as(const struct registry *reg, struct op *op, const struct id16 *uid,
                               const struct id16 *gid, const struct id16 *who, enum member_role role, struct error *e);
enum shoal_err group_reject(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                            const struct id16 *who, struct slice reason, struct error *e);
/* Leaves, or withdraws a request. successor (may be NULL): the owner hands the group to that member first. The user's
 * shares in the group are closed with it, and so by group_remove_member(). More than one record holds (about 1,900) are
 * to be closed before: group_stop_shares(). */
enum shoal_err group_leave(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                           const struct id16 *successor, struct error *e);
enum shoal_err group_remove_member(const struct registry *reg, struct op *op, const struct id16 *uid,
                                   const struct id16 *gid, const struct id16 *who, struct slice reason,
                                   struct error *e);
enum shoal_err group_transfer(const struct registry *reg, struct op *op, const struct id16 *uid,
                              const struct id16 *gid, const struct id16 *who, struct error *e);
/* The owner gives a member a role. The op stays empty if he has it. */
enum shoal_err group_set_role(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                              const struct id16 *who, enum member_role role, struct error *e);
/* "admin", "member", "reader"; SHOAL_EUSAGE for other words. */
enum shoal_err group_role_parse(struct slice word, enum member_role *role, struct error *e);
/* Memberships, requests and shares in it are closed with it, as many as fit; group_sweep() goes on with the rest. */
enum shoal_err group_delete(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                            struct error *e);

/* A departure of somebody with many shares, or the end of a large group, takes several records. Each of these appends
 * what fits into one and is called again, with a new op, while the op is not empty; they do not ask who may.
 * group_stop_shares(): the shares of `who` that would not fit beside his departure; call it before, so that he is a
 * member until all are closed and a retry after a crash goes on. group_sweep(): what is open in a deleted group. */
void group_stop_shares(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                       const struct id16 *who);
void group_sweep(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid);

/* -- views */
/* A live group by shown name or alias. NULL: there is none. */
const struct group_row *group_find(const struct registry *reg, struct slice shown);
/* The same with a sentence: SHOAL_ENOTFOUND "no group 'team'", SHOAL_EUSAGE for what cannot be a name. */
enum shoal_err group_lookup(const struct registry *reg, struct slice shown, struct id16 *gid, struct error *e);
char *group_shown(const struct registry *reg, const struct id16 *gid, char out[NAME_SHOWN_MAX]);
bool group_lives(const struct registry *reg, const struct id16 *gid);
bool group_is_member(const struct registry *reg, const struct id16 *gid, const struct id16 *uid); /* of a live group */
bool group_has_asked(const struct registry *reg, const struct id16 *gid, const struct id16 *uid); /* and is no member */
bool group_owner(const struct registry *reg, const struct id16 *gid, struct id16 *uid); /* false: it has ended */
bool group_is_owner(const struct registry *reg, const struct id16 *gid, const struct id16 *uid);
/* SHOAL_OK, or SHOAL_EDENIED "not a member of 'team'". */
enum shoal_err group_check_member(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                  struct error *e);
/* Whether he may answer requests and remove members: the owner, and admins. */
bool group_is_admin(const struct registry *reg, const struct id16 *gid, const struct id16 *uid);
/* Of a member who is not the owner. */
enum member_role group_given_role(const struct registry *reg, const struct id16 *gid, const struct id16 *uid);
/* A reader downloads; what he shares, or shared before, counts for nothing. */
bool group_may_share(const struct registry *reg, const struct id16 *gid, const struct id16 *uid);
/* SHOAL_OK, or SHOAL_EDENIED "not a member of 'team'", "a reader of 'team' may not share in it". */
enum shoal_err group_check_share(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                 struct error *e);
/* "owner", "admin", "member", "reader", "asked" or "". */
const char *group_role(const struct registry *reg, const struct id16 *gid, const struct id16 *uid);
unsigned group_member_count(const struct registry *reg, const struct id16 *gid);
unsigned group_asked_count(const struct registry *reg, const struct id16 *gid);

struct member {
	struct id16 uid;
	struct stamp since; /* of the accept; for requests of the first request */
};
/* Earliest first; free() the array. SHOAL_EBUSY: no memory. */
enum shoal_err group_members(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n);
enum shoal_err group_asked(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n);

struct shown_group {
	const struct group_row *group;
	char name[NAME_SHOWN_MAX];
};
/* Live groups by shown name: all, and those of a user (member or asked). free() the array. */
enum shoal_err group_list(const struct registry *reg, struct shown_group **out, size_t *n);
enum shoal_err group_list_of(const struct registry *reg, const struct id16 *uid, struct shown_group **out, size_t *n);
#endif
