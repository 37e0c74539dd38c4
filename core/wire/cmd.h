/* core/wire/cmd.h - what a client and a tracker say to each other.
 *
 * CMD:  u32 serial, u8 request[16] (made by the client; zero for what changes nothing), u16 verb, the verb's fields.
 * RPLY: u32 serial, u8 flags, u16 code (core/base/error.h), str message, stamp if flag STAMP, u16 synced if flag SYNCED, then, if the code is OK,
 *       the verb's reply fields and, for a list, u16 count and that many rows. A long list comes as several RPLYs of one
 *       serial: all but the last have flag MORE, each has the reply fields and its own rows.
 * EVNT: u16 kind, the kind's fields.
 * Replies may come in any order. The first CMD is HELLO. Nobody says who he is in a field: the acting user is the
 * session's. Everything is listed once below; docs/protocol.md explains it. */
#ifndef SHOAL_WIRE_CMD_H
#define SHOAL_WIRE_CMD_H
#include "core/wire/codec.h"
#include "core/wire/frame.h"
#include "core/wire/stamp.h"

#define PROTOCOL_VERSION 1
#define PIECE_SIZE 524288u
#define HASHES_PER_CHUNK 1024u
#define PASSWORD_MAX 1024

/* -- requests */
#define REQ_NONE_FIELDS(F)
/* listen: host:port where peers can reach this client; a host of 0.0.0.0 or :: means the address the tracker sees.
 * seen: stamps (each STAMP_WIRE_SIZE bytes) of this client's own last changes that the tracker should have. */
#define REQ_HELLO_FIELDS(F) F(u16, version) F(u32, features) F(str, listen) F(blob, token) F(blob, seen)
#define REQ_RESUME_FIELDS(F) F(blob, token)
#define REQ_USER_PASSWORD_FIELDS(F) F(str, user) F(secret, password)
#define REQ_CHANGE_PASSWORD_FIELDS(F) F(secret, old) F(secret, fresh)
#define REQ_GROUP_FIELDS(F) F(str, group)
#define REQ_GROUP_USER_FIELDS(F) F(str, group) F(str, user) F(str, text) /* text: reason, role, note; may be empty */
/* filter: empty: all; "mine": those where one is a member or has asked; with * ? or [: a pattern; else a part of the name. */
#define REQ_FILTER_FIELDS(F) F(str, filter)
#define REQ_LIST_FILES_FIELDS(F) F(str, group) F(u8, all)
#define REQ_UPLOAD_CHECK_FIELDS(F) F(str, group) F(str, name) F(u64, size)
#define REQ_PUT_HASHES_FIELDS(F) F(id32, content) F(u64, size) F(u32, first) F(blob, hashes)
#define REQ_UPLOAD_FILE_DATA_FIELDS(F) \
	F(id16, gid) F(str, name) F(u64, size) F(u32, piece_size) F(id32, file_hash) F(id32, content)
#define REQ_FILE_FIELDS(F) F(str, group) F(str, file)
#define REQ_GID_FIELDS(F) F(id16, gid)
#define REQ_FID_FIELDS(F) F(id16, gid) F(id16, fid)
#define REQ_GET_HASHES_FIELDS(F) F(id16, gid) F(id16, fid) F(u32, chunk)
#define REQ_ANNOUNCE_FIELDS(F) F(id16, gid) F(id16, fid) F(u32, pieces) F(u8, stopped)
/* peer: the identity that could not be reached. */
#define REQ_UNREACHABLE_FIELDS(F) F(id16, fid) F(id32, peer)
/* What this device shares now, as its shares.db has it: how many, and the sum (modulo 2^64) over them of the first 8
 * bytes, read big endian, of SHA-256(gid || fid) (the 32 raw bytes one after the other). The tracker compares it with the
 * open shares of the session's user and device in groups where the user is a member. Both 0 where nothing is shared; not
 * logged in: not looked at. */
#define REQ_HEARTBEAT_FIELDS(F) F(u32, shares) F(u64, shares_digest)
/* stamps as in HELLO; count 0: all trackers. The reply's ids: u16 each of those that have them, in rising order. */
#define REQ_WAIT_SYNCED_FIELDS(F) F(blob, stamps) F(u16, count) F(u32, timeout_ms)
#define REQ_ID_FIELDS(F) F(str, id)

/* -- replies */
#define REP_NONE_FIELDS(F)
/* ticket_key: raw public key that signs tickets; resumed: 1 if the token was accepted; you: the address the tracker
 * sees; token: a fresh one (empty if not resumed). */
#define REP_HELLO_FIELDS(F)                                                                                     \
	F(u16, version) F(u32, features) F(u16, tracker) F(u64, wall_ms) F(id32, ticket_key) F(u8, plaintext)   \
	F(u32, heartbeat_ms) F(str, you) F(u8, resumed) F(id16, uid) F(str, user) F(blob, token)
#define REP_SESSION_FIELDS(F) F(id16, uid) F(str, user) F(blob, token)
#define REP_UID_FIELDS(F) F(id16, uid)
#define REP_GID_FIELDS(F) F(id16, gid)
/* exists: a file of that name is listed there now; content: its content id. */
#define REP_UPLOAD_CHECK_FIELDS(F) F(id16, gid) F(u8, exists) F(id32, content)
/* have: pieces whose hashes the tracker holds by now. */
#define REP_PUT_HASHES_FIELDS(F) F(u64, have)
/* joined: 1 if the content was there and this only adds a seeder. */
#define REP_UPLOAD_FILE_DATA_FIELDS(F) F(id16, fid) F(u8, joined) F(str, name)
#define REP_STOP_SHARE_FIELDS(F) F(id16, gid) F(id16, fid) F(u8, removed)
/* followed by rows row_peer */
#define REP_FIND_FIELDS(F)                                                                                  \
	F(id16, gid) F(id16, fid) F(str, group) F(str, name) F(u64, size) F(u32, piece_size) F(id32, file_hash) \
	F(id32, content) F(str, state) F(blob, ticket) F(u32, ticket_ms)
#define REP_HASHES_FIELDS(F) F(u32, chunk) F(blob, hashes)
#define REP_ANNOUNCE_FIELDS(F) F(u32, interval_ms) /* followed by rows row_peer */
#define REP_TICKET_FIELDS(F) F(blob, ticket) F(u32, ticket_ms)
/* differ: the shares that the tracker knows are not those of the digest: ask MY_SHARES. */
#define REP_HEARTBEAT_FIELDS(F) F(u64, wall_ms) F(u8, differ) F(blob, token)
#define REP_WAIT_SYNCED_FIELDS(F) F(u16, have) F(u16, trackers) F(blob, ids)
#define REP_WHOAMI_FIELDS(F) F(id16, uid) F(str, user) F(u64, since_ms) F(u16, tracker)

/* -- rows of lists */
#define ROW_GROUP_FIELDS(F) \
	F(str, name) F(id16, gid) F(str, owner) F(u32, members) F(u32, files) F(str, role) F(u32, pending)
#define ROW_REQUEST_FIELDS(F) F(str, user) F(u64, asked_ms)
#define ROW_MEMBER_FIELDS(F) F(str, user) F(str, role) F(u8, online) F(u64, since_ms)
#define ROW_FILE_FIELDS(F)                                                                                   \
	F(str, name) F(id16, fid) F(u64, size) F(id32, hash) F(id32, content) F(u32, seeders) F(u32, peers)  \
	F(str, owner) F(u64, added_ms) F(str, state)
#define ROW_PEER_FIELDS(F) F(id16, uid) F(str, user) F(str, address) F(id32, identity) F(u8, complete)
/* device: the one that the share row names; another device of the user has to share again with UPDATE_FILE_INFO. */
#define ROW_SHARE_FIELDS(F) \
	F(id16, gid) F(id16, fid) F(id32, content) F(id32, device) F(str, group) F(str, file)
/* contact_ms: milliseconds since the last sign of life; UINT64_MAX: none yet. clock_offset_ms: its clock minus that of the
 * tracker that tells, two's complement. rows: "equal", "differ" or "": as they were compared last. */
#define ROW_TRACKER_FIELDS(F)                                                                      \
	F(u16, id) F(str, addr) F(str, state) F(u64, behind) F(u64, contact_ms) F(str, version)    \
	F(u8, clock_known) F(u64, clock_offset_ms) F(str, rows) F(str, reason)
#define ROW_CONFLICT_FIELDS(F) F(str, kind) F(str, name) F(str, shown) F(str, text) F(u64, at_ms)
#define ROW_SESSION_FIELDS(F) F(str, id) F(id32, device) F(str, address) F(u64, since_ms) F(u8, current) F(u8, online)

#define CMD_REQUESTS(X) \
	X(req_none, REQ_NONE_FIELDS) \
	X(req_hello, REQ_HELLO_FIELDS) \
	X(req_resume, REQ_RESUME_FIELDS) \
	X(req_user_password, REQ_USER_PASSWORD_FIELDS) \
	X(req_change_password, REQ_CHANGE_PASSWORD_FIELDS) \
	X(req_group, REQ_GROUP_FIELDS) \
	X(req_group_user, REQ_GROUP_USER_FIELDS) \
	X(req_filter, REQ_FILTER_FIELDS) \
	X(req_list_files, REQ_LIST_FILES_FIELDS) \
	X(req_upload_check, REQ_UPLOAD_CHECK_FIELDS) \
	X(req_put_hashes, REQ_PUT_HASHES_FIELDS) \
	X(req_upload_file_data, REQ_UPLOAD_FILE_DATA_FIELDS) \
	X(req_file, REQ_FILE_FIELDS) \
	X(req_gid, REQ_GID_FIELDS) \
	X(req_fid, REQ_FID_FIELDS) \
	X(req_get_hashes, REQ_GET_HASHES_FIELDS) \
	X(req_announce, REQ_ANNOUNCE_FIELDS) \
	X(req_unreachable, REQ_UNREACHABLE_FIELDS) \
	X(req_heartbeat, REQ_HEARTBEAT_FIELDS) \
	X(req_wait_synced, REQ_WAIT_SYNCED_FIELDS) \
	X(req_id, REQ_ID_FIELDS)
#define CMD_REPLIES(X) \
	X(rep_none, REP_NONE_FIELDS) \
	X(rep_hello, REP_HELLO_FIELDS) \
	X(rep_session, REP_SESSION_FIELDS) \
	X(rep_uid, REP_UID_FIELDS) \
	X(rep_gid, REP_GID_FIELDS) \
	X(rep_upload_check, REP_UPLOAD_CHECK_FIELDS) \
	X(rep_put_hashes, REP_PUT_HASHES_FIELDS) \
	X(rep_upload_file_data, REP_UPLOAD_FILE_DATA_FIELDS) \
	X(rep_stop_share, REP_STOP_SHARE_FIELDS) \
	X(rep_find, REP_FIND_FIELDS) \
	X(rep_hashes, REP_HASHES_FIELDS) \
	X(rep_announce, REP_ANNOUNCE_FIELDS) \
	X(rep_ticket, REP_TICKET_FIELDS) \
	X(rep_heartbeat, REP_HEARTBEAT_FIELDS) \
	X(rep_wait_synced, REP_WAIT_SYNCED_FIELDS) \
	X(rep_whoami, REP_WHOAMI_FIELDS) \
	X(row_group, ROW_GROUP_FIELDS) \
	X(row_request, ROW_REQUEST_FIELDS) \
	X(row_member, ROW_MEMBER_FIELDS) \
	X(row_file, ROW_FILE_FIELDS) \
	X(row_peer, ROW_PEER_FIELDS) \
	X(row_share, ROW_SHARE_FIELDS) \
	X(row_tracker, ROW_TRACKER_FIELDS) \
	X(row_conflict, ROW_CONFLICT_FIELDS) \
	X(row_session, ROW_SESSION_FIELDS)
CMD_REQUESTS(CODEC_DECLARE)
CMD_REPLIES(CODEC_DECLARE)

/* The verbs: number, NAME, word, request, reply, row (row_none: no list), needs login, changes something.
 * Numbers are never reused. The ten operations of SYNC are the verbs of the same names. */
#define CMD_VERBS(X)                                                                                     \
	X(1, HELLO, hello, req_hello, rep_hello, row_none, 0, 0)                                         \
	X(2, RESUME, resume, req_resume, rep_session, row_none, 0, 0)                                    \
	X(10, CREATE_USER, create_user, req_user_password, rep_uid, row_none, 0, 1)                      \
	X(11, LOGIN, login, req_user_password, rep_session, row_none, 0, 1)                              \
	X(12, LOGOUT, logout, req_none, rep_none, row_none, 1, 1)                                        \
	X(13, CHANGE_PASSWORD, change_password, req_change_password, rep_session, row_none, 1, 1)        \
	X(14, WHOAMI, whoami, req_none, rep_whoami, row_none, 1, 0)                                      \
	X(15, LIST_SESSIONS, list_sessions, req_none, rep_none, row_session, 1, 0)                       \
	X(16, END_SESSION, end_session, req_id, rep_none, row_none, 1, 1)                                \
	X(20, CREATE_GROUP, create_group, req_group, rep_gid, row_none, 1, 1)                            \
	X(21, JOIN_GROUP, join_group, req_group, rep_gid, row_none, 1, 1)                                \
	X(22, LEAVE_GROUP, leave_group, req_group_user, rep_none, row_none, 1, 1)                        \
	X(23, ACCEPT_REQUEST, accept_request, req_group_user, rep_none, row_none, 1, 1)                  \
	X(24, REJECT_REQUEST, reject_request, req_group_user, rep_none, row_none, 1, 1)                  \
	X(25, REMOVE_MEMBER, remove_member, req_group_user, rep_none, row_none, 1, 1)                    \
	X(26, TRANSFER_GROUP, transfer_group, req_group_user, rep_none, row_none, 1, 1)                  \
	X(27, DELETE_GROUP, delete_group, req_group, rep_none, row_none, 1, 1)                           \
	X(28, LIST_GROUPS, list_groups, req_filter, rep_none, row_group, 1, 0)                           \
	X(29, LIST_REQUESTS, list_requests, req_group, rep_none, row_request, 1, 0)                      \
	X(30, LIST_MEMBERS, list_members, req_group, rep_none, row_member, 1, 0)                         \
	X(31, SET_ROLE, set_role, req_group_user, rep_none, row_none, 1, 1)                              \
	X(40, UPLOAD_CHECK, upload_check, req_upload_check, rep_upload_check, row_none, 1, 0)            \
	X(41, PUT_HASHES, put_hashes, req_put_hashes, rep_put_hashes, row_none, 1, 0)                    \
	X(42, UPLOAD_FILE_DATA, upload_file_data, req_upload_file_data, rep_upload_file_data, row_none, 1, 1) \
	X(43, UPDATE_FILE_INFO, update_file_info, req_fid, rep_none, row_none, 1, 1)                     \
	X(44, STOP_SHARE, stop_share, req_file, rep_stop_share, row_none, 1, 1)                          \
	X(45, LIST_FILES, list_files, req_list_files, rep_gid, row_file, 1, 0)                           \
	X(46, FIND, find, req_file, rep_find, row_peer, 1, 0)                                            \
	X(47, GET_HASHES, get_hashes, req_get_hashes, rep_hashes, row_none, 1, 0)                        \
	X(48, ANNOUNCE, announce, req_announce, rep_announce, row_peer, 1, 0)                            \
	X(49, TICKET, ticket, req_gid, rep_ticket, row_none, 1, 0)                                       \
	X(50, MY_SHARES, my_shares, req_none, rep_none, row_share, 1, 0)                                 \
	X(51, UNREACHABLE, unreachable, req_unreachable, rep_none, row_none, 1, 0)                       \
	X(60, HEARTBEAT, heartbeat, req_heartbeat, rep_heartbeat, row_none, 0, 0)                        \
	X(61, TRACKERS, trackers, req_none, rep_none, row_tracker, 0, 0)                                 \
	X(62, WAIT_SYNCED, wait_synced, req_wait_synced, rep_wait_synced, row_none, 0, 0)                \
	X(63, LIST_CONFLICTS, list_conflicts, req_none, rep_none, row_conflict, 1, 0)

enum cmd_verb {
#define X(num, NAME, word, req, rep, row, login, change) VERB_##NAME = num,
	CMD_VERBS(X)
#undef X
};

const char *verb_word(unsigned verb); /* NULL if there is no such verb */
bool verb_needs_login(unsigned verb);
bool verb_changes(unsigned verb);

/* -- frame heads */
struct cmd_head {
	uint32_t serial;
	struct id16 request;
	uint16_t verb;
};

/* LACKS: refused because this tracker lacks what HELLO's `seen` showed; said once, the same again would be let through.
 * SYNCED: the tracker waited for others before it answered (--min-sync). */
enum { RPLY_MORE = 1, RPLY_STAMP = 2, RPLY_LACKS = 4, RPLY_SYNCED = 8 };

struct rply_head {
	uint32_t serial;
	uint8_t flags;
	enum shoal_err code;
	struct slice message;
	struct stamp stamp; /* zero unless RPLY_STAMP */
	uint16_t synced;    /* how many other trackers had it; 0 unless RPLY_SYNCED */
};

void cmd_head_put(struct buf *b, const struct cmd_head *h);
void cmd_head_get(struct cursor *c, struct cmd_head *h);
void rply_head_put(struct buf *b, const struct rply_head *h);
void rply_head_get(struct cursor *c, struct rply_head *h);

/* -- events: number, NAME, word, fields */
/* revoke: no longer a member (also told to the one concerned): close the channels of that user in that group.
 * dial: that peer cannot reach you and wants that file: connect to it.
 * note: something for the user to see; kind is a word: "rejected" (a request to join), else what a merge did to him
 * (core/registry/notice.h).
 * session_ended: this connection is logged out; reason is a word ("superseded", "ended", "password", "expired"). */
#define EV_REVOKE_FIELDS(F) F(id16, gid) F(id16, uid)
#define EV_DIAL_FIELDS(F) F(id16, fid) F(str, address) F(id32, identity)
#define EV_MEMBER_FIELDS(F) F(id16, gid) F(str, group) F(str, user)
#define EV_FILE_FIELDS(F) F(id16, gid) F(id16, fid) F(str, group) F(str, file) F(str, user)
#define EV_NOTE_FIELDS(F) F(str, kind) F(str, text)
#define EV_REASON_FIELDS(F) F(str, reason)

#define CMD_EVENTS(X)                                            \
	X(1, REVOKE, revoke, EV_REVOKE_FIELDS)                   \
	X(2, DIAL, dial, EV_DIAL_FIELDS)                         \
	X(3, MEMBER_REQUESTED, member_requested, EV_MEMBER_FIELDS) \
	X(4, MEMBER_JOINED, member_joined, EV_MEMBER_FIELDS)     \
	X(5, MEMBER_LEFT, member_left, EV_MEMBER_FIELDS)         \
	X(6, FILE_ADDED, file_added, EV_FILE_FIELDS)             \
	X(7, FILE_REMOVED, file_removed, EV_FILE_FIELDS)         \
	X(8, NOTE, note, EV_NOTE_FIELDS)                         \
	X(9, SESSION_ENDED, session_ended, EV_REASON_FIELDS)     \
	X(10, LEAVING, leaving, EV_REASON_FIELDS)

enum cmd_event {
#define X(num, NAME, word, fields) EVENT_##NAME = num,
	CMD_EVENTS(X)
#undef X
};
#define X(num, NAME, word, fields) CODEC_DECLARE(ev_##word, fields)
CMD_EVENTS(X)
#undef X
const char *event_word(unsigned kind); /* NULL if there is no such event */

/* A whole body, printed for a log ("login user=\"ann\" password=\"***\""). Broken input prints what can be read. */
void cmd_print(struct buf *b, struct slice body);
void evnt_print(struct buf *b, struct slice body);
/* SHOAL_EPROTO unless the body is exactly a head and the fields of a known verb or event. */
enum shoal_err cmd_check(struct slice body);
enum shoal_err evnt_check(struct slice body);
#endif
