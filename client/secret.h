/* client/secret.h - passwords that were not given: from --password-file, --password-fd or the terminal, without echo. */
#ifndef SHOAL_CLIENT_SECRET_H
#define SHOAL_CLIENT_SECRET_H
#include "client/shell.h"

struct secret_source {
	const char *file; /* NULL: none */
	int fd;           /* -1: none; read once */
	bool terminal;    /* /dev/tty may be asked */
	struct value known; /* what the descriptor gave; value_free() it */
};

/* SHOAL_EAUTH if there is no way to get one. */
enum shoal_err secret_get(struct secret_source *s, const struct secret_question *q, struct value *out, struct error *e);
/* A question to be answered with y or n at the terminal; false without one. */
bool secret_confirm(const char *question);
#endif
