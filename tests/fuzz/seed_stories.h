/* tests/fuzz/seed_stories.h - lists of instructions for the targets that read some. seeds.c includes it. */
#ifndef SHOAL_TESTS_SEED_STORIES_H
#define SHOAL_TESTS_SEED_STORIES_H
/* The words of fuzz_str() and the places of fuzz_id16() that the stories below need. */
enum { W_NONE, W_ANN, W_BOB, W_ANN_PW = 4, W_TEAM = 6, W_SONG = 8, W_ADDRESS = 10, W_MINE = 12, W_NOTE = 15 };
enum { W_SESSION = 24, B_STAMP = 16 };
enum { ID_FIRST = 0, ID_TEAM = 2, ID_SONG = 3, CONTENT_EMPTY = 3, CONTENT_ONE = 4, FILE_HASH_ONE = 1 };

static void two_users_and_a_group(struct buf *b)
{
	OP(b, 0); /* the tracker has joined its cluster */
	OP(b, STEP_CLIENT, 0);
	OP(b, STEP_LOGIN, 0, 0, 50);
	OP(b, STEP_CLIENT, 1);
	OP(b, STEP_LOGIN, 1, 1, 51);
	OP(b, STEP_CMD, 0, VERB_CREATE_GROUP, 1, 0, W_TEAM);
	OP(b, STEP_CMD, 1, VERB_JOIN_GROUP, 2, 0, W_TEAM);
	OP(b, STEP_CMD, 0, VERB_LIST_REQUESTS, 0, 0, W_TEAM);
	OP(b, STEP_CMD, 0, VERB_ACCEPT_REQUEST, 3, 3, W_TEAM, W_BOB, W_NONE);
}

static void an_upload(struct buf *b)
{
	OP(b, STEP_CMD, 0, VERB_UPLOAD_CHECK, 0, 0, W_TEAM, W_SONG, 100);
	OP(b, STEP_CMD, 0, VERB_UPLOAD_FILE_DATA, 4, 0, ID_TEAM, W_SONG, 0, 200, FILE_HASH_ONE, CONTENT_EMPTY);
	OP(b, STEP_CMD, 1, VERB_LIST_FILES, 0, 0, W_TEAM, 1);
	OP(b, STEP_CMD, 1, VERB_FIND, 0, 0, W_TEAM, W_SONG);
}

static void groups_story(void)
{
	struct buf b = { 0 };
	two_users_and_a_group(&b);
	OP(&b, STEP_CMD, 1, VERB_LIST_GROUPS, 0, 0, W_MINE);
	OP(&b, STEP_CMD, 0, VERB_LIST_MEMBERS, 0, 0, W_TEAM);
	OP(&b, STEP_CMD, 0, VERB_TRANSFER_GROUP, 5, 0, W_TEAM, W_BOB, W_NOTE);
	OP(&b, STEP_CMD, 1, VERB_REMOVE_MEMBER, 6, 0, W_TEAM, W_ANN, W_NOTE);
	OP(&b, STEP_CMD, 1, VERB_LEAVE_GROUP, 7, 0, W_TEAM, W_NONE, W_NONE);
	OP(&b, STEP_CMD, 1, VERB_LIST_CONFLICTS, 0, 0);
	OP(&b, STEP_CMD, 0, VERB_CREATE_GROUP, 30, 0, W_MINE);
	OP(&b, STEP_CMD, 1, VERB_JOIN_GROUP, 31, 0, W_MINE);
	OP(&b, STEP_CMD, 0, VERB_REJECT_REQUEST, 32, 0, W_MINE, W_BOB, W_NOTE);
	OP(&b, STEP_CMD, 0, VERB_DELETE_GROUP, 33, 0, W_MINE);
	OP(&b, STEP_CMD, 0, VERB_DELETE_GROUP, 8, 0, W_TEAM);
	save("fuzz_tracker_step", "groups", &b);
}

static void files_story(void)
{
	struct buf b = { 0 };
	two_users_and_a_group(&b);
	an_upload(&b);
	OP(&b, STEP_CMD, 1, VERB_UPDATE_FILE_INFO, 9, 0, ID_TEAM, ID_SONG);
	OP(&b, STEP_CMD, 1, VERB_ANNOUNCE, 0, 0, ID_TEAM, ID_SONG, 1, 0);
	OP(&b, STEP_CMD, 1, VERB_GET_HASHES, 0, 0, ID_TEAM, ID_SONG, 0);
	OP(&b, STEP_CMD, 1, VERB_TICKET, 0, 0, ID_TEAM);
	OP(&b, STEP_CMD, 1, VERB_MY_SHARES, 0, 0);
	OP(&b, STEP_CMD, 1, VERB_HEARTBEAT, 0, 0, 1, 7);
	OP(&b, STEP_CMD, 0, VERB_STOP_SHARE, 10, 0, W_TEAM, W_SONG);
	OP(&b, STEP_CMD, 1, VERB_STOP_SHARE, 11, 0, W_TEAM, W_SONG);
	save("fuzz_tracker_step", "files", &b);

	two_users_and_a_group(&b);
	/* 300000 bytes, one hash */
	OP(&b, STEP_CMD, 0, VERB_PUT_HASHES, 0, 0, CONTENT_ONE, 255, 0, 0, 0, 0, 0, 4, 0x93, 0xe0, 0, 2);
	OP(&b, STEP_CMD, 0, VERB_UPLOAD_FILE_DATA, 4, 0, ID_TEAM, W_SONG, 255, 0, 0, 0, 0, 0, 4, 0x93, 0xe0, 200,
	   FILE_HASH_ONE, CONTENT_ONE);
	OP(&b, STEP_CMD, 1, VERB_UNREACHABLE, 0, 0, ID_SONG, 0);
	OP(&b, STEP_TIME, 0x40, 0);
	save("fuzz_tracker_step", "hashes", &b);
}

static void sessions_story(void)
{
	struct buf b = { 0 };
	two_users_and_a_group(&b);
	OP(&b, STEP_CMD, 0, VERB_LIST_SESSIONS, 0, 0);
	OP(&b, STEP_CMD, 0, VERB_CHANGE_PASSWORD, 12, 0, W_ANN_PW, W_NOTE);
	OP(&b, STEP_CMD, 0, VERB_WHOAMI, 0, 0);
	OP(&b, STEP_CMD, 0, VERB_TRACKERS, 0, 0);
	OP(&b, STEP_CMD, 0, VERB_WAIT_SYNCED, 0, 0, B_STAMP, 0, 210);
	OP(&b, STEP_CMD, 0, VERB_END_SESSION, 21, 0, W_SESSION);
	OP(&b, STEP_BREAK, 0);
	OP(&b, STEP_CLIENT, 0x41); /* with the token */
	OP(&b, STEP_CMD, 1, VERB_RESUME, 0, 0, 1);
	OP(&b, STEP_CMD, 1, VERB_LOGOUT, 13, 0);
	OP(&b, STEP_CONSOLE, 0, 5, 'u', 's', 'e', 'r', 's');
	OP(&b, STEP_CONSOLE, 0, 6, 'g', 'r', 'o', 'u', 'p', 's');
	OP(&b, STEP_CONSOLE, 0, 5, 'f', 'i', 'l', 'e', 's');
	OP(&b, STEP_CONSOLE, 0, 4, 's', 'y', 'n', 'c');
	OP(&b, STEP_TIME, 0xff, 0);
	save("fuzz_tracker_step", "sessions", &b);
}

static void sync_story(void)
{
	struct buf b = { 0 };
	two_users_and_a_group(&b);
	an_upload(&b);
	OP(&b, STEP_TRACKER, 0);     /* tracker 2 dials */
	OP(&b, STEP_DIAL, 0, 0x02);  /* and is reached */
	OP(&b, STEP_SYNC, 0, SYNC_PING, 0, 200, 0);
	OP(&b, STEP_OP, 0, OP_CREATE_USER, 0, 0x10, TABLE_USER, 50, 0x06, 2, 0, 3, 'd', 'a', 'n', 0, 0);
	OP(&b, STEP_OP, 0, OP_CREATE_GROUP, 1, 0x10, TABLE_GROUP, 51, 0x06, 3, 0, 4, 't', 'e', 'a', 'm', 0, 0);
	OP(&b, STEP_SYNC, 0, SYNC_LEASE, 0, 1, 5, 1, ID_FIRST, 2, 2, 7, 7, 200, W_ADDRESS);
	OP(&b, STEP_SYNC, 0, SYNC_PEER, 0, 1, ID_TEAM, ID_SONG, ID_FIRST, 2, 2, 7, 7, 1, 200, W_ADDRESS);
	OP(&b, STEP_SYNC, 0, SYNC_BLOB_WANT, 0, CONTENT_EMPTY, 0);
	OP(&b, STEP_SYNC, 1, SYNC_ACK, 0, 0);
	OP(&b, STEP_SYNC, 1, SYNC_DIGEST, 0, 0, 0);
	OP(&b, STEP_TIME, 0x20, 0);
	save("fuzz_tracker_step", "sync", &b);

	two_users_and_a_group(&b);
	OP(&b, STEP_TRACKER, 0x05, 3);
	OP(&b, STEP_SNAPSHOT, 0, 2, 1, 5, TABLE_USER, 50, 0x06, 2, 0, 3, 'd', 'a', 'n', 0, 0, TABLE_FILE, ID_TEAM, 60,
	   0x7e, 0, 0, 1, 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	OP(&b, STEP_DIAL, 0, 0x12, 1);
	OP(&b, STEP_FAULT, 1, 1);
	OP(&b, STEP_CMD, 0, VERB_CREATE_GROUP, 20, 0, W_MINE);
	OP(&b, STEP_FAULT, 3, 9);
	OP(&b, STEP_CMD, 0, VERB_LIST_GROUPS, 0, 0, W_NONE);
	OP(&b, STEP_TIME, 0x10, 0);
	save("fuzz_tracker_step", "snapshot_faults", &b);

	two_users_and_a_group(&b); /* names that others claimed first: conflicts and notices */
	OP(&b, STEP_TRACKER, 0);
	OP(&b, STEP_OP, 0, OP_CREATE_GROUP, 1, 0x10, TABLE_GROUP, 51, 0x0e, 3, 0, 4, 't', 'e', 'a', 'm', 0, 0, 0, 0);
	OP(&b, STEP_OP, 0, OP_CREATE_USER, 0, 0x10, TABLE_USER, 50, 0x06, 2, 0, 3, 'a', 'n', 'n', 0, 0);
	OP(&b, STEP_SNAPSHOT, 0, 0, 1, 9);
	OP(&b, STEP_CMD, 0, VERB_LIST_CONFLICTS, 0, 0);
	OP(&b, STEP_DIAL, 0, 0x02); /* what came by a snapshot goes on by one */
	OP(&b, STEP_DIAL, 1, 0x02);
	OP(&b, STEP_TIME, 2, 0);
	OP(&b, STEP_SYNC, 0, SYNC_PONG, 0, 200);
	OP(&b, STEP_TIME, 2, 0);
	save("fuzz_tracker_step", "conflicts", &b);

	two_users_and_a_group(&b); /* roles; states and acknowledgements that fit nothing; who is refused */
	OP(&b, STEP_TRACKER, 0);
	OP(&b, STEP_DIAL, 0, 0x02);
	OP(&b, STEP_CMD, 0, VERB_SET_ROLE, 40, 0, W_TEAM, W_BOB, 100, 0, 5, 'a', 'd', 'm', 'i', 'n');
	OP(&b, STEP_CMD, 1, VERB_LIST_MEMBERS, 0, 0, W_TEAM);
	OP(&b, STEP_OP, 0, OP_SET_ROLE, 0, 0x10, TABLE_ROLE, ID_TEAM, 1, 0x02, 0, 27, 9, 9, 9, 9, 9, 9, 9, 9, 0, 2, 0, 0,
	   0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, ROLE_ADMIN);
	OP(&b, STEP_CMD, 0, VERB_WAIT_SYNCED, 0, 0, B_STAMP, 2, 210);
	for (unsigned state = 0; state < 4; state++)
		OP(&b, STEP_SYNC, 1, SYNC_PONG, 0, 200, (uint8_t)state);
	OP(&b, STEP_SYNC, 1, SYNC_SNAP_ACK, 0, 1, 7);
	OP(&b, STEP_SYNC, 0, SYNC_SNAP_ACK, 0, 1, 7);
	OP(&b, STEP_SYNC, 1, SYNC_REFUSED, 0, W_NOTE);
	OP(&b, STEP_TIME, 2, 0);
	OP(&b, STEP_DIAL, 0, 0x06); /* as another tracker than the one that was dialled */
	OP(&b, STEP_TRACKER, 4, STEP_TRACKER, 4); /* two of one id */
	OP(&b, STEP_SYNC, 0, SYNC_REFUSED, 0, W_NOTE);
	save("fuzz_tracker_step", "roles_states", &b);

	OP(&b, 2); /* joined; leaves in good order */
	OP(&b, STEP_CLIENT, 0);
	OP(&b, STEP_LOGIN, 0, 0, 50);
	OP(&b, STEP_FAULT, 6, 0); /* it is alone now: old records go */
	OP(&b, STEP_TIME, 0xf8, 0);
	OP(&b, STEP_CLIENT, 1);
	OP(&b, STEP_LOGIN, 0, 1, 51);
	OP(&b, STEP_TIME, 0xf8, 0);
	OP(&b, STEP_FAULT, 6, 2);
	OP(&b, STEP_TIME, 0, 100);
	OP(&b, STEP_DIAL, 0, 0x02);
	OP(&b, STEP_TIME, 1, 0);
	save("fuzz_tracker_step", "log_cut", &b);
	OP(&b, 1, STEP_CLIENT, 0x80); /* it is still joining */
	OP(&b, STEP_RAW, 0, 1, 0, 20, 0, 0, 0, 24, 'C', 'M', 'D', ' ', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
	OP(&b, STEP_TIME, 0x20, 0);
	save("fuzz_tracker_step", "raw", &b);
}

/* Rows that are sound: a user, a session of his, one who is no more. */
static void put_snapshot_rows(struct buf *b)
{
	OP(b, TABLE_USER, 50, 0x06, 2, 0, 3, 'd', 'a', 'n', 0, 0);
	OP(b, TABLE_SESS, 50, 1, 3, 0x02, 0, 1, 1);
	OP(b, TABLE_MEM, 51, 50, 1, 4, 0x02, 0, 1, 3);
}

static void snapshots(void)
{
	struct buf b = { 0 };
	OP(&b, 1 | 1 << 2); /* with SQLite, a row a portion */
	OP(&b, SNAP_OP_WHOLE, 0, 3, 0, 2, 9, 9);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_OP, 1, SNAP_OP_WHOLE, 1, 0, 0, 3, 12, 12, 12); /* nothing is left of it: all closed */
	OP(&b, SNAP_OP_TIME, 4, 0);
	save("fuzz_snapshot", "whole", &b);

	OP(&b, 1, SNAP_OP_BEGIN, 0, 0, 3, 1, 7, SNAP_OP_ROWS, 0, 0, 3);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_BEGIN, 0, 0, 0, 1, 5, SNAP_OP_END, 0, 0); /* begun twice: an empty one in the end */
	OP(&b, SNAP_OP_BEGIN, 0, 0, 3, 1, 7, SNAP_OP_ROWS, 0, 0, 3);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_END, 0, 4, SNAP_OP_BEGIN, 0, 0, 9, 1, 7, SNAP_OP_END, 0, 0, SNAP_OP_BEGIN, 0, 4, 6, 0, 0, SNAP_OP_END, 0, 0);
	OP(&b, SNAP_OP_BEGIN, 0, 0, 4, 1, 7, SNAP_OP_ROWS, 0, 0, 3);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_BREAK, 0, SNAP_OP_ROWS, 0, 1, 0, SNAP_OP_END, 0, 2);
	save("fuzz_snapshot", "unsound", &b);

	OP(&b, 2 | 1 << 2, SNAP_OP_FAULT, 4, 1); /* answers wait */
	OP(&b, SNAP_OP_WHOLE, 0, 2, 1, 1, 9);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_BREAK, 0, SNAP_OP_OP, 1, SNAP_OP_FAULT, 4, 0, SNAP_OP_FAULT, 2, 1, SNAP_OP_WHOLE, 1, 3, 0, 1, 20);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_FAULT, 0, 1, SNAP_OP_FAULT, 2, 0, SNAP_OP_TIME, 8, 0, SNAP_OP_FAULT, 3, 20);
	OP(&b, SNAP_OP_WHOLE, 1, 3, 0, 1, 20);
	put_snapshot_rows(&b);
	OP(&b, SNAP_OP_KILL, SNAP_OP_OP, 0, SNAP_OP_WHOLE, 0, 3, 0, 1, 21);
	put_snapshot_rows(&b);
	save("fuzz_snapshot", "faults", &b);
}

static void put_hello_reply(struct buf *b)
{
	OP(b, LINK_OP_DIAL, 2);
	OP(b, LINK_OP_REPLY, 0, 0, 0, 3, 1, 0, 1, 200, 1, 0, 100, W_ADDRESS, 0, 1, W_NONE, 0);
}

static void links(void)
{
	struct buf b = { 0 };
	put_hello_reply(&b);
	OP(&b, LINK_OP_CALL, VERB_LOGIN, 100, W_ANN, W_ANN_PW);
	OP(&b, LINK_OP_REPLY, 0, 0, 2, 0, 1, W_ANN, 16, 0, 4, 1, 2, 3, 4);
	OP(&b, LINK_OP_CALL, VERB_LIST_GROUPS, 100, W_NONE);
	OP(&b, LINK_OP_REPLY, 0, 0, 1, 0, 1, W_TEAM, 1, W_ANN, 1, 1, W_NOTE, 1);
	OP(&b, LINK_OP_BREAK);
	OP(&b, LINK_OP_TIME, 2, 0);
	OP(&b, LINK_OP_DIAL, 2);
	OP(&b, LINK_OP_REPLY, 0, 0, 0, 0, 1, 0, 1, 200, 1, 0, 100, W_ADDRESS, 1, 1, W_ANN, 16, 0, 4, 1, 2, 3, 4);
	OP(&b, LINK_OP_REPLY, 0, 0, 0, 0, 0);
	save("fuzz_link", "failover", &b);
	put_hello_reply(&b);
	OP(&b, LINK_OP_CALL, VERB_LOGIN, 100, W_ANN, W_ANN_PW);
	OP(&b, LINK_OP_REPLY, 0, 15, 0, 0, W_NOTE);
	OP(&b, LINK_OP_TIME, 4, 0);
	OP(&b, LINK_OP_REPLY, 0, 0, 2, 0, 1, W_ANN, 16, 0, 4, 1, 2, 3, 4);
	OP(&b, LINK_OP_EVENT, EVENT_NOTE, 0, W_NOTE, W_NOTE);
	OP(&b, LINK_OP_EVENT, EVENT_SESSION_ENDED, 0, W_NOTE);
	OP(&b, LINK_OP_EVENT, EVENT_LEAVING, 0, W_NOTE);
	OP(&b, LINK_OP_OWNER, 0x11);
	OP(&b, LINK_OP_DIAL, 1);
	OP(&b, LINK_OP_TIME, 40, 0);
	save("fuzz_link", "busy_events", &b);
	put_hello_reply(&b);
	OP(&b, LINK_OP_CALL, VERB_TRACKERS, 20);
	OP(&b, LINK_OP_CANCEL, 0);
	OP(&b, LINK_OP_FAULT, 0, 100);
	OP(&b, LINK_OP_CALL, VERB_TRACKERS, 20);
	OP(&b, LINK_OP_FAULT, 2, 3);
	OP(&b, LINK_OP_TIME, 30, 0);
	OP(&b, LINK_OP_RAW, 2, 0, 8, 0, 0, 0, 9, 'R', 'P', 'L', 'Y');
	save("fuzz_link", "faults", &b);
}

static void peer_conns(void)
{
	struct buf b = { 0 };
	OP(&b, 0, PEER_OP_ASK, 0, 1, PEER_OP_PIECE, 0, 1, 0x40); /* the last piece, in one frame */
	OP(&b, PEER_OP_ASK, 0, 0, PEER_OP_PIECE, 0, 0, 0x80, 0x40, 0, PEER_OP_CANCEL, 0, 0, PEER_OP_PIECE, 0, 0, 0);
	OP(&b, PEER_OP_ASK, 1, 1, PEER_OP_CANCEL, 1, 1, PEER_OP_ASK, 1, 1);
	OP(&b, PEER_OP_PIECE, 1, 1, 0x40, PEER_OP_PIECE, 1, 1, 0x40);
	save("fuzz_peer_conn", "asks", &b);
	OP(&b, 0, PEER_OP_SERVE, 0, 1, PEER_OP_SERVE, 1, 0, PEER_OP_SERVE_STOP, 1, 0, PEER_OP_SERVE, 0, 0);
	OP(&b, PEER_OP_MESSAGE, PEER_REQUEST, 0, 1, 0, 200, PEER_OP_MESSAGE, PEER_KEEPALIVE, PEER_OP_FORGET, 0, 0);
	save("fuzz_peer_conn", "serves", &b);
	OP(&b, 0, PEER_OP_ASK, 2, 1, PEER_OP_MESSAGE, PEER_REJECT, 2, 1, 3, PEER_OP_REJECTED, 2, 1, PEER_OP_ASK, 2, 1);
	OP(&b, PEER_OP_STOP_ASKS, 2, 0, PEER_OP_ASK, 2, 1, PEER_OP_PIECE, 2, 1, 0, PEER_OP_PIECE, 2, 1, 0x50);
	OP(&b, PEER_OP_MESSAGE, PEER_BITFIELD, 2, 0, 17, 0x0f, 0xff);
	save("fuzz_peer_conn", "rejects", &b);
	OP(&b, 1, PEER_OP_RAW, 0, 42, 0, 0, 39, 0, 0, 1); /* with the zero that is there already: HELLO */
	for (unsigned i = 0; i < 36; i++)
		buf_put_u8(&b, 0);
	OP(&b, PEER_OP_MESSAGE, PEER_AUTH, 7, 23);
	save("fuzz_peer_conn", "handshake", &b);
}
#endif
