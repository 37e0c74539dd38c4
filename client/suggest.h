/* client/suggest.h - "did you mean": the known word that comes nearest. Plain values. */
#ifndef SHOAL_CLIENT_SUGGEST_H
#define SHOAL_CLIENT_SUGGEST_H

/* Keeps the nearest of the words it is shown; zero-initialise, then set `word`. */
struct suggestion {
	const char *word;
	const char *best; /* NULL: none is near enough */
	unsigned distance;
};
void suggest_try(struct suggestion *s, const char *known);
/* Edits from one to the other: insert, delete, change a letter, swap neighbours; large for long words. */
unsigned suggest_distance(const char *a, const char *b);
#endif
