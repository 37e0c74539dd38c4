/* tests/fuzz/fuzz_step.h - the instructions of fuzz_tracker_step, fuzz_snapshot, fuzz_link and fuzz_peer_conn:
 * seeds.c writes them, the targets read them.
 *
 * Each is a byte and what the functions do_*() of the target read behind it. */
#ifndef SHOAL_TESTS_FUZZ_STEP_H
#define SHOAL_TESTS_FUZZ_STEP_H

enum step {
	STEP_CMD,      /* conn, verb (0x80: raw fields), request, cut, fields */
	STEP_RAW,      /* conn, cut, bytes */
	STEP_SYNC,     /* conn, kind (0x80: raw fields), cut, fields */
	STEP_OP,       /* conn, op, log, flags, rows: a record with a right checksum */
	STEP_SNAPSHOT, /* conn, rows, vector: a whole one */
	STEP_CLIENT,   /* device and how */
	STEP_LOGIN,    /* conn, user, request: create_user and login */
	STEP_TRACKER,  /* how, vector: another tracker dials us */
	STEP_DIAL,     /* conn, how, vector: the answer to a dial of ours */
	STEP_BREAK,    /* conn */
	STEP_TIME,     /* u16 milliseconds */
	STEP_FAULT,    /* what, how often */
	STEP_CONSOLE,  /* text */
	STEP_COUNT
};

/* fuzz_snapshot; from is a byte: 0 tracker 2, 1 tracker 3. Bits of how: 1 another serial than the last, 2 a wrong count,
 * 4 (BEGIN) only some tables, then a byte which; (END) a wrong hash, 8 without the frame's last byte,
 * 16 (BEGIN) a vector with operations of the tracker itself, then u64 up to which; 32 (BEGIN) another time, then u64. */
enum snap_op {
	SNAP_OP_BEGIN, /* from, how, rows to come, vector */
	SNAP_OP_ROWS,  /* from, how, how many, rows */
	SNAP_OP_END,   /* from, how */
	SNAP_OP_WHOLE, /* from, how many in the first frame, in the second, vector, rows: nothing is wrong */
	SNAP_OP_OP,    /* from, name */
	SNAP_OP_BREAK, /* from */
	SNAP_OP_TIME,  /* u16 milliseconds */
	SNAP_OP_FAULT, /* what, how often */
	SNAP_OP_KILL,
	SNAP_OP_COUNT
};

/* fuzz_link */
enum link_op {
	LINK_OP_DIAL,   /* how: the answer to the last dial */
	LINK_OP_REPLY,  /* which command, code, flags, cut, fields: a reply */
	LINK_OP_EVENT,  /* kind, cut, fields */
	LINK_OP_RAW,    /* cut, bytes */
	LINK_OP_BREAK,
	LINK_OP_TIME,   /* u16 milliseconds */
	LINK_OP_CALL,   /* verb, timeout, fields */
	LINK_OP_CANCEL, /* which */
	LINK_OP_OWNER,  /* what: answers, other tracker, other settings */
	LINK_OP_FAULT,  /* what, how much */
	LINK_OP_COUNT
};

/* fuzz_peer_conn; channel and piece are a byte each */
enum peer_op {
	PEER_OP_RAW,     /* bytes */
	PEER_OP_MESSAGE, /* type, fields */
	PEER_OP_PIECE,   /* channel, piece, how, data's length and offset */
	PEER_OP_ASK,     /* channel, piece, as all below */
	PEER_OP_CANCEL,
	PEER_OP_REJECTED,
	PEER_OP_FORGET,
	PEER_OP_STOP_ASKS,
	PEER_OP_SERVE,
	PEER_OP_SERVE_STOP,
	PEER_OP_NO_MEMORY,
	PEER_OP_COUNT
};
#endif
