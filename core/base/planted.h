/* core/base/planted.h - bugs planted on purpose, to see that the simulation finds them: `make mutants`.
 *
 * Each is one rule of docs/sync.md forgotten, at the place where the rule stands: PLANTED(x) is the constant 0 in a normal
 * build, so nothing of it is left in a program; -DMUTANT=MUTANT_x plants one. docs/testing.md says what finds which. */
#ifndef SHOAL_BASE_PLANTED_H
#define SHOAL_BASE_PLANTED_H

#define MUTANTS(X)                                                                            \
	X(stable_logid)   /* the log of a tracker keeps its id over starts */                 \
	X(no_filter_op)   /* an operation brings back rows that were closed and dropped */    \
	X(no_filter_snap) /* so does a snapshot */                                            \
	X(no_absent_drop) /* what a snapshot's sender has dropped stays open here */          \
	X(vv_first)       /* a snapshot's vector is taken before its rows are here */         \
	X(no_contig)      /* a gap in a log is not noticed */                                 \
	X(partial_rows)   /* rows of a snapshot that broke off are kept */                    \
	X(own_push)       /* who keeps up is sent the sender's own operations only */         \
	X(gc_uncovered)   /* closed rows are dropped before their dot is covered: not seen while shipping is causal */ \
	X(lww_phase)      /* of two versions of a membership the later one stands, whole */   \
	X(acc_last)       /* of two accepts the one that came last stands, not the first */   \
	X(share_last)     /* of two versions of a share the one that came last stands */      \
	X(no_tiebreak)    /* claims of the same time rank as they came */                     \
	X(uploader_first) /* a file's first claim is joined, its uploader is not */           \
	X(last_claim)     /* the last claim has the name, not the first */            \
	X(reply_early)    /* the answer leaves before the change is durable */        \
	X(ack_early)      /* what is not durable yet is acknowledged to other trackers */ \
	X(portion_short)  /* the last row of each portion of a snapshot is left out */ \
	X(fetch_once)     /* piece hashes that came before their row did are not asked for again */

/* For the simulation of whole trackers and their clients. */
#define WHOLE_MUTANTS(X)                                                                      \
	X(synced_early)   /* of those who have a change the tracker itself counts, too */     \
	X(reply_waits)    /* every answer waits for another tracker */                        \
	X(cut_alone)      /* what nobody else has goes from the log */                        \
	X(cut_young)      /* and what has just come, as soon as all have it */

/* For the fuzz targets, each of which must find one: `make fuzz-planted`. The target is named first. */
#define FUZZ_MUTANTS(X)                                                                       \
	X(frame_empty)    /* frame: a frame may be shorter than its tag */                    \
	X(record_rows)    /* record: rows that are none pass with it */                       \
	X(sync_leftover)  /* sync: so do bytes behind a message's fields */                   \
	X(peer_leftover)  /* peer: the same between peers */                                  \
	X(ticket_unsigned) /* ticket: the signature is not looked at */                       \
	X(address_bare)   /* tracker_info: an IPv6 address is shown without brackets */       \
	X(metainfo_any)   /* metainfo: hashes of another content are taken from the cache */  \
	X(journal_older)  /* journal: the older entry counts, too */                          \
	X(known_zero)     /* known: what stands behind a zero byte is read by nobody */       \
	X(typed_escape)   /* typed: a backslash cannot be quoted */                           \
	X(control_silent) /* control: a line that cannot be read gets no answer */            \
	X(own_pages)      /* link: an answer to the link's own command may come in pages */   \
	X(piece_short)    /* peer_conn: a piece is whole with its first bytes */              \
	X(idle_kept)      /* tracker_step: whoever says nothing is kept */

enum mutant {
	MUTANT_none,
#define X(name) MUTANT_##name,
	MUTANTS(X) WHOLE_MUTANTS(X) FUZZ_MUTANTS(X)
#undef X
};

#ifndef MUTANT
#define MUTANT MUTANT_none
#endif
#define PLANTED(name) (MUTANT == MUTANT_##name)
#endif
