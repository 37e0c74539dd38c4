/* tests/fuzz/fuzz_step.h - the instructions of fuzz_tracker_step and fuzz_link, which seeds.c writes and they read.
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
#endif
