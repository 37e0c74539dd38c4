/* tests/bench/warm.c - keeps memory of a virtual machine warm while others are measured. usage: warm MIB
 *
 * A host that is told which memory its guest has free (free page reporting, in blocks of 2 MiB) takes it back, and gives
 * it again page by page when it is touched: writing 2 GiB of new pages took 1.4 to 4.2 s on one machine, the same into
 * pages that were there 0.4 s. That would be charged to whoever writes first. So: touches MIB, and then frees all of it
 * but a page of each 2 MiB. What is free then is no whole block, stays with the guest, and is what others are given first.
 * Prints "ready" and holds the rest until it is ended. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, BLOCK = 2 << 20 };

int main(int argc, char **argv)
{
	size_t mib = argc == 2 ? strtoul(argv[1], NULL, 10) : 0, len = mib << 20;

	if (mib == 0 || mib > SIZE_MAX >> 21)
		return fprintf(stderr, "usage: warm MIB\n"), 2;
	char *all = mmap(NULL, len + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return perror("warm"), 1;
	char *first = all + (BLOCK - (uintptr_t)all % BLOCK) % BLOCK;
	(void)madvise(first, len, MADV_NOHUGEPAGE); /* a huge page would not be given back in parts */
	for (size_t at = 0; at < len; at += PAGE)
		first[at] = 1;
	for (size_t at = 0; at < len; at += BLOCK)
		if (madvise(first + at + PAGE, BLOCK - PAGE, MADV_DONTNEED) != 0)
			return perror("warm"), 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
