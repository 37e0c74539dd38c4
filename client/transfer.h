/* client/transfer.h - downloads, uploads and serving, as the engine sees them.
 *
 * The engine owns one struct transfers. Everything here is called on the engine thread; below it are the transfer
 * threads (client/peer_io.h), which own the peer connections and do recv, hash, write, sendfile and SSL. */
#ifndef SHOAL_CLIENT_TRANSFER_H
#define SHOAL_CLIENT_TRANSFER_H
#include "client/engine.h"
#include "core/net/loop.h"

struct transfers;
struct tls_identity;

/* What transfers need from the engine; all borrowed. */
struct transfers_config {
	const struct client_config *client;
	struct loop *loop;              /* the engine's */
	struct link *link;              /* FIND, GET_HASHES, ANNOUNCE, TICKET, UPLOAD_*, UPDATE_FILE_INFO */
	struct tls_identity *identity;  /* the device */
	const char *meta_folder;        /* cache of metainfo */
	void (*job_event)(void *owner, const char *word, const struct job_info *job);
	/* A finished upload or download is shared from now on; the engine keeps the list (client/shares.h). The job is done
	 * when transfers_kept() says that the list is on the disk: who was told "done" may be killed the next moment. */
	void (*shared)(void *owner, const struct share_info *share, const struct id32 *content, uint64_t job);
	void (*unshared)(void *owner, const struct id16 *gid, const struct id16 *fid, const char *why);
	void *owner;
};

struct transfers *transfers_new(const struct transfers_config *config, struct error *e); /* binds the listener */
/* Stops at once: states of parts are saved, connections closed, threads joined. */
void transfers_free(struct transfers *t);
struct address transfers_listen_address(const struct transfers *t);

/* Returns the new job's number; a refusal is a job that has failed already. */
uint64_t transfers_download(struct transfers *t, const struct call *c);
uint64_t transfers_upload(struct transfers *t, const struct call *c);
/* CALL_JOBS .. CALL_JOB_LIMIT, CALL_LIMITS: answers into the call at once. */
void transfers_answer(struct transfers *t, struct call *c);
bool transfers_job_info(struct transfers *t, uint64_t job, struct job_info *out);
void transfers_kept(struct transfers *t, uint64_t job); /* also from within shared() */
unsigned transfers_running(const struct transfers *t); /* jobs that have not ended and are not paused by the user */

/* Files that may be served from now on (from the shares list), or no longer. The file is opened when first asked for;
 * if it changed on disk it is not served and `unshared` is told. */
void transfers_serve(struct transfers *t, const struct share_info *share, const struct id32 *content);
void transfers_unserve(struct transfers *t, const struct id16 *gid, const struct id16 *fid);
void transfers_unserve_all(struct transfers *t); /* logout: channels are closed, downloads pause as "offline" */
/* News of the link. */
void transfers_on_login(struct transfers *t);
void transfers_on_revoke(struct transfers *t, const struct id16 *gid, const struct id16 *uid);
/* Who was removed is a member again: what was said of his tickets is over. */
void transfers_on_joined(struct transfers *t, const struct id16 *gid, struct slice user);
void transfers_on_dial(struct transfers *t, const struct id16 *fid, const struct address *addr, const struct id32 *identity);
#endif
