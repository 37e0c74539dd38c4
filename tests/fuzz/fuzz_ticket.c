/* tests/fuzz/fuzz_ticket.c - tickets and tokens that nobody signed must not open. */
#include <stdlib.h>

#include "core/base/crypto.h"
#include "core/wire/ticket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[SEED_SIZE] = { 1 };
	struct ticket t;
	struct token k;
	EVP_PKEY *key = key_from_seed(seed);
	struct slice sealed = slice_of(data, size);
	if (ticket_open(sealed, key, &t) == SHOAL_OK || token_open(sealed, seed, &k) == SHOAL_OK)
		abort();
	EVP_PKEY_free(key);
	return 0;
}
