/* client/interrupt.h - Ctrl-C and its kin.
 *
 * A signal's handler belongs to the process, so this is the one place of the client with state outside a struct: which
 * signal came, and when. Handlers only note it; the prompt thread looks. Other threads block these signals. */
#ifndef SHOAL_CLIENT_INTERRUPT_H
#define SHOAL_CLIENT_INTERRUPT_H
#include <stdbool.h>
#include <stdint.h>

/* SIGINT, SIGTERM, SIGHUP, SIGALRM are noted from now on; SIGPIPE is ignored. */
void interrupt_install(void);
/* For the time in which other threads are started: they inherit the mask. */
void interrupt_block(void);
void interrupt_unblock(void);

/* The signal that came and was not yet taken, or 0. */
int interrupt_pending(void);
int interrupt_take(void);
/* As if Ctrl-C had been typed, unless something is pending already. */
void interrupt_ask(void);
/* Standard output cannot be written any more: notes SIGPIPE, so that what runs ends in order. */
void interrupt_output_lost(void);
bool interrupt_reader_gone(void); /* standard output is a pipe that nobody reads */
/* The time limit of the program: SIGALRM then, once. */
void interrupt_after(uint64_t ms);
#endif
