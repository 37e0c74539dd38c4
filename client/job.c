/* client/job.c */
#include "client/job.h"

const char *job_state_word(enum job_state state)
{
	switch (state) {
#define X(name, word)                 \
	case JOB_STATE_##name:        \
		return word;
		JOB_STATES(X)
#undef X
	}
	return "unknown";
}

bool job_state_final(enum job_state state)
{
	return state == JOB_STATE_DONE || state == JOB_STATE_FAILED || state == JOB_STATE_CANCELLED;
}
