/* core/registry/file_manager.h - the files of groups and who shares them.
 *
 * Commands as in user_manager.h. Who is online is the tracker's memory and comes in as a struct presence. A file is
 * listed while a seeder (an open share of somebody who is a member now) is online; its name is taken while it has a
 * seeder at all. */
#ifndef SHOAL_REGISTRY_FILE_MANAGER_H
#define SHOAL_REGISTRY_FILE_MANAGER_H
#include "core/base/name.h"
#include "core/registry/registry.h"

struct presence {
	bool (*online)(void *ctx, const struct id16 *uid, const struct id32 *device);
	void *ctx;
};

struct upload {
	struct slice name;
	uint64_t size;
	uint32_t piece_size;
	struct id32 file_hash, content;
};

/* -- commands */
/* A new file, or (*joined) a seeder more of the same content. SHOAL_EEXISTS: other content has that name in the group.
 * SHOAL_EDENIED: not a member. The caller has verified the content. The op is empty if this device shares it already. */
enum shoal_err file_upload(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id32 *device,
                           const struct id16 *gid, const struct upload *up, struct id16 *fid, bool *joined,
                           struct error *e);
/* update_file_info: this device shares the file too. SHOAL_ENOTFOUND, SHOAL_EDENIED. May leave the op empty. */
enum shoal_err file_share(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id32 *device,
                          const struct id16 *gid, const struct id16 *fid, struct error *e);
/* Closes the user's shares of the file; without another seeder online those of everybody (*removed), each of whom gets a
 * notice. More than one record holds are to be closed before, with file_stop_others(). SHOAL_ENOTFOUND: the user does not
 * share it. */
enum shoal_err file_stop(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                         const struct id16 *fid, const struct presence *presence, bool *removed, struct error *e);

/* Others' shares that a file_stop() would close but has no room for: call it before, with a new op each time, while the op
 * is not empty. Nothing if the file is not going to be removed. Does not ask who may. */
void file_stop_others(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                      const struct id16 *fid, const struct presence *presence);

/* -- views */
/* A file by shown name or alias: plain is the first claim that has a seeder; an alias resolves without seeders too. */
const struct file_row *file_find(const struct registry *reg, const struct id16 *gid, struct slice shown);
/* With a sentence: SHOAL_ENOTFOUND "no file 'plan.pdf' in 'team'". */
enum shoal_err file_lookup(const struct registry *reg, const struct id16 *gid, struct slice shown, struct id16 *fid,
                           struct error *e);
char *file_shown(const struct registry *reg, const struct id16 *gid, const struct id16 *fid, char out[NAME_SHOWN_MAX]);
bool file_has_seeder(const struct registry *reg, const struct id16 *gid, const struct id16 *fid); /* online or not */
bool file_listed(const struct registry *reg, const struct id16 *gid, const struct id16 *fid,
                 const struct presence *presence);
/* Whether that user and device share it now, as a member. */
bool file_shared_by(const struct registry *reg, const struct id16 *gid, const struct id16 *fid, const struct id16 *uid,
                    const struct id32 *device);

struct seeder {
	struct id16 uid;
	struct id32 device;
	struct stamp since;
};
/* Distinct by user and device, earliest first; only who is online if presence is not NULL. free() the array. */
enum shoal_err file_seeders(const struct registry *reg, const struct id16 *gid, const struct id16 *fid,
                            const struct presence *presence, struct seeder **out, size_t *n);

struct shown_file {
	const struct file_row *file;
	char name[NAME_SHOWN_MAX];
	unsigned seeders; /* online, distinct by user and device */
	bool syncing;     /* its hashes are not here yet */
};
/* By shown name: with an online seeder, or (all) with any seeder. free() the array. */
enum shoal_err file_list(const struct registry *reg, const struct id16 *gid, const struct presence *presence, bool all,
                         struct shown_file **out, size_t *n);
unsigned file_count(const struct registry *reg, const struct id16 *gid, const struct presence *presence); /* listed */

struct my_share {
	const struct file_row *file;
	struct id32 device;
};
/* What a user shares from a device (device NULL: from any) in groups where he is a member. free() the array. */
enum shoal_err file_shares_of(const struct registry *reg, const struct id16 *uid, const struct id32 *device,
                              struct my_share **out, size_t *n);
#endif
