/* client/interrupt.c */
#include "client/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t noted;

/* A second SIGTERM, or a second Ctrl-C that nobody has taken in between, ends the program where it stands: whatever
 * does not look at the first one hangs. */
static void note(int signal_number)
{
	if (noted == signal_number)
		_exit(128 + signal_number);
	noted = signal_number;
}

static void ours(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGALRM);
}

void interrupt_install(void)
{
	struct sigaction sa = { .sa_handler = note }; /* no SA_RESTART: a read() of the terminal shall end */
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void interrupt_block(void)
{
	sigset_t set;
	ours(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void interrupt_unblock(void)
{
	sigset_t set;
	ours(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int interrupt_pending(void)
{
	return noted;
}

void interrupt_ask(void)
{
	if (noted == 0)
		noted = SIGINT;
}

void interrupt_output_lost(void)
{
	if (noted == 0)
		noted = SIGPIPE;
}

bool interrupt_reader_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

int interrupt_take(void)
{
	int was = noted;
	noted = 0;
	return was;
}

void interrupt_after(uint64_t ms)
{
	struct itimerval t = { .it_value = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) } };
	if (ms != 0)
		setitimer(ITIMER_REAL, &t, NULL);
}
