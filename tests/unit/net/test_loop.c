/* tests/unit/net/test_loop.c */
#include <pthread.h>
#include <signal.h>

#include "core/base/mem.h"
#include "tests/unit/net/net_check.h"

struct story {
	struct loop *loop;
	struct loop_timer *timers[4];
	char text[64]; /* what happened, a letter each */
	size_t len, stop_at;
	uint64_t begin_ms, end_ms;
	bool done;
};

static void tell(struct story *s, char c)
{
	if (s->len < sizeof(s->text) - 1)
		s->text[s->len++] = c;
	if (s->len >= s->stop_at) {
		s->done = true;
		s->end_ms = clock_mono_ms();
		loop_stop(s->loop);
	}
}

static void say_a(void *arg) { tell(arg, 'a'); }
static void say_b(void *arg) { tell(arg, 'b'); }
static void say_c(void *arg) { tell(arg, 'c'); }

static void begin(struct story *s, size_t stop_at)
{
	*s = (struct story){ .loop = loop_new(NULL), .stop_at = stop_at, .begin_ms = clock_mono_ms() };
	CHECK(s->loop != NULL);
}

static void timers_fire_in_order_and_never_early(void)
{
	struct story s;
	begin(&s, 3);
	struct loop_timer *a = loop_timer_new(s.loop, say_a, &s), *b = loop_timer_new(s.loop, say_b, &s),
	                  *c = loop_timer_new(s.loop, say_c, &s);
	loop_timer_set_ms(a, 30);
	loop_timer_set_ms(b, 5);
	loop_timer_set_ms(c, 0);
	run_until(s.loop, &s.done);
	CHECK_STR(s.text, "cba");
	CHECK_INT(s.end_ms - s.begin_ms, >=, 30);
	loop_timer_free(a);
	loop_timer_free(b);
	loop_timer_free(c);
	loop_free(s.loop);
}

static void a_timer_can_be_moved_and_cancelled(void)
{
	struct story s;
	begin(&s, 2);
	struct loop_timer *a = loop_timer_new(s.loop, say_a, &s), *b = loop_timer_new(s.loop, say_b, &s),
	                  *c = loop_timer_new(s.loop, say_c, &s);
	loop_timer_set_ms(a, 0);
	loop_timer_set_ms(a, 20); /* moved behind b */
	loop_timer_set_ms(b, 5);
	loop_timer_set_ms(c, 1);
	loop_timer_cancel(c);
	run_until(s.loop, &s.done);
	CHECK_STR(s.text, "ba");
	loop_timer_set_ms(c, UINT64_MAX); /* no overflow: simply not now */
	loop_timer_free(a);
	loop_timer_free(b);
	loop_timer_free(c);
	loop_free(s.loop);
}

static void again(void *arg)
{
	struct story *s = arg;
	loop_timer_set_ms(s->timers[0], 0);
	if (s->len < 10)
		tell(s, '.');
}

static void fd_came(void *arg, unsigned ready)
{
	tell(arg, ready == LOOP_READ ? 'r' : 'w');
}

/* A timer that sets itself to 0 ms again and again must not keep descriptors from their turn. */
static void a_timer_of_0_ms_does_not_starve_descriptors(void)
{
	struct story s;
	int fds[2];
	begin(&s, 11);
	CHECK_INT(pipe2(fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
	struct loop_watch *w = loop_watch_new(s.loop, fds[0], fd_came, &s);
	CHECK(loop_watch_set(w, true, false));
	s.timers[0] = loop_timer_new(s.loop, again, &s);
	loop_timer_set_ms(s.timers[0], 0);
	CHECK_INT(write(fds[1], "x", 1), ==, 1);
	run_until(s.loop, &s.done);
	CHECK(strchr(s.text, 'r') != NULL);
	loop_timer_free(s.timers[0]);
	loop_watch_free(w);
	close(fds[0]);
	close(fds[1]);
	loop_free(s.loop);
}

static void a_watch_tells_what_was_asked_for(void)
{
	struct story s;
	int fds[2];
	begin(&s, 1);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
	struct loop_watch *w = loop_watch_new(s.loop, fds[0], fd_came, &s);
	CHECK(loop_watch_set(w, false, true));
	run_until(s.loop, &s.done);
	CHECK_STR(s.text, "w");
	CHECK(loop_watch_set(w, true, false));
	CHECK_INT(write(fds[1], "x", 1), ==, 1);
	s.done = false;
	s.stop_at = 2;
	run_until(s.loop, &s.done);
	CHECK_STR(s.text, "wr");
	/* nothing wanted: the byte that still waits is not told about; the timer is */
	CHECK(loop_watch_set(w, false, false));
	struct loop_timer *a = loop_timer_new(s.loop, say_a, &s);
	loop_timer_set_ms(a, 5);
	s.done = false;
	s.stop_at = 3;
	run_until(s.loop, &s.done);
	CHECK_STR(s.text, "wra");
	loop_timer_free(a);
	loop_watch_free(w);
	close(fds[0]);
	close(fds[1]);
	loop_free(s.loop);
}

enum { POSTERS = 4, POSTS = 500 };

struct numbered {
	struct queue_node node;
	int poster, number;
};

struct poster {
	pthread_t thread;
	struct queue *queue;
	int number;
};

struct taker {
	struct loop *loop;
	int next[POSTERS], n;
	bool in_order, done;
};

static void *post_all(void *arg)
{
	struct poster *p = arg;
	for (int i = 0; i < POSTS; i++) {
		struct numbered *n = xalloc(sizeof(*n));
		n->poster = p->number;
		n->number = i;
		queue_post(p->queue, &n->node);
	}
	return NULL;
}

static void take(void *arg, struct queue_node *nodes)
{
	struct taker *t = arg;
	while (nodes != NULL) {
		struct numbered *n = container_of(nodes, struct numbered, node);
		nodes = nodes->next;
		t->in_order = t->in_order && t->next[n->poster]++ == n->number;
		t->n++;
		free(n);
	}
	if (t->n == POSTERS * POSTS) {
		t->done = true;
		loop_stop(t->loop);
	}
}

static void what_threads_post_arrives_whole_and_in_order(void)
{
	struct taker t = { .loop = loop_new(NULL), .in_order = true };
	struct queue *q = queue_new();
	struct poster posters[POSTERS];
	struct loop_watch *w = loop_watch_queue(t.loop, q, take, &t);
	CHECK(w != NULL);
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .queue = q, .number = i };
		CHECK_INT(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), ==, 0);
	}
	run_until(t.loop, &t.done);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	CHECK(t.in_order);
	loop_watch_free(w);
	loop_free(t.loop);
	queue_free(q);
}

static void a_stop_before_the_run_ends_it_at_once(void)
{
	struct loop *loop = loop_new(NULL);
	loop_stop(loop);
	loop_run(loop);
	loop_free(loop);
}

static void signal_came(void *arg, int signo)
{
	CHECK_INT(signo, ==, SIGUSR1);
	tell(arg, 's');
}

static void a_signal_becomes_a_callback(void)
{
	struct story s;
	begin(&s, 1);
	CHECK(loop_on_signal(s.loop, SIGUSR1, signal_came, &s));
	raise(SIGUSR1);
	run_until(s.loop, &s.done);
	CHECK_STR(s.text, "s");
	loop_free(s.loop);
}

static void no_memory_is_no_timer_and_no_watch(void)
{
	struct loop *loop = loop_new(NULL);
	mem_fail_after(1);
	CHECK(loop_timer_new(loop, say_a, NULL) == NULL);
	mem_fail_after(1);
	CHECK(loop_watch_new(loop, 0, fd_came, NULL) == NULL);
	mem_fail_after(0);
	loop_timer_free(NULL);
	loop_watch_free(NULL);
	loop_free(loop);
	loop_free(NULL);
}

static const struct CMUnitTest tests[] = {
	TEST(timers_fire_in_order_and_never_early),
	TEST(a_timer_can_be_moved_and_cancelled),
	TEST(a_timer_of_0_ms_does_not_starve_descriptors),
	TEST(a_watch_tells_what_was_asked_for),
	TEST(what_threads_post_arrives_whole_and_in_order),
	TEST(a_stop_before_the_run_ends_it_at_once),
	TEST(a_signal_becomes_a_callback),
	TEST(no_memory_is_no_timer_and_no_watch),
};
CHECK_MAIN(tests)
