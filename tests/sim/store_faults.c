/* tests/sim/store_faults.c */
#include "tests/sim/store_faults.h"

void store_faults_prepare(void)
{
}

bool store_faults(void)
{
	return true;
}
