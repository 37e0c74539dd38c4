/* tests/sim/contents.h - a few files that users upload: from an empty one to one of many pieces, each with its real
 * content id. */
#ifndef SHOAL_TESTS_CONTENTS_H
#define SHOAL_TESTS_CONTENTS_H
#include "core/registry/file_manager.h"
#include "core/registry/store.h"
#include "tests/sim/site.h"

unsigned content_choose(struct sim *sim);
/* On the site's disk, as the upload of a client would leave it, before the op; *up but for the name is filled in. */
void content_store(struct store *store, unsigned which, struct upload *up);
/* Every site that lists a file must hold its hashes in the end. may_be_lost: unless no site does. */
bool contents_everywhere(const struct site *sites, size_t n, bool may_be_lost, char *why, size_t size);
#endif
