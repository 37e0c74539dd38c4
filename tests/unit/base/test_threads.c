/* tests/unit/base/test_threads.c - queues and the worker pool, under several threads */
#include <pthread.h>

#include "core/base/mem.h"
#include "core/base/queue.h"
#include "core/base/workers.h"
#include "tests/unit/check.h"

enum { POSTERS = 4, EACH = 2000 };

struct item {
	struct queue_node node;
	int poster, number;
};

struct poster {
	pthread_t thread;
	struct queue *q;
	int id;
};

static void *post_all(void *arg)
{
	struct poster *p = arg;
	for (int i = 0; i < EACH; i++) {
		struct item *it = xalloc(sizeof(*it));
		it->poster = p->id;
		it->number = i;
		queue_post(p->q, &it->node);
	}
	return NULL;
}

static void nothing_is_lost_and_each_posters_order_stays(void)
{
	struct poster posters[POSTERS];
	int next[POSTERS] = { 0 }, got = 0;
	struct queue *q = queue_new();
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .q = q, .id = i };
		CHECK(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]) == 0);
	}
	while (got < POSTERS * EACH) {
		CHECK(queue_wait(q, 10000));
		for (struct queue_node *n = queue_take_all(q), *after; n != NULL; n = after) {
			after = n->next;
			struct item *it = container_of(n, struct item, node);
			CHECK_INT(it->number, ==, next[it->poster]);
			next[it->poster]++;
			got++;
			free(it);
		}
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	CHECK(!queue_wait(q, 0));
	queue_free(q);
}

struct sum {
	struct work work;
	int in, out;
};

static void square(struct work *w)
{
	struct sum *s = container_of(w, struct sum, work);
	s->out = s->in * s->in;
}

static void jobs_run_once_and_come_back(void)
{
	enum { N = 500 };
	struct sum jobs[N];
	struct queue *done = queue_new();
	struct workers *w = workers_new(3, 0);
	for (int i = 0; i < N; i++) {
		jobs[i] = (struct sum){ .work = { .run = square, .done = done }, .in = i };
		CHECK(workers_post(w, &jobs[i].work));
	}
	for (int got = 0; got < N;) {
		CHECK(queue_wait(done, 10000));
		for (struct queue_node *n = queue_take_all(done); n != NULL; n = n->next, got++) {
			struct sum *s = container_of(container_of(n, struct work, node), struct sum, work);
			CHECK_INT(s->out, ==, s->in * s->in);
		}
	}
	workers_free(w);
	queue_free(done);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_the_gate(struct work *w)
{
	(void)w;
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
}

static void a_full_pool_refuses(void)
{
	struct work jobs[8];
	struct queue *done = queue_new();
	struct workers *w = workers_new(1, 3);
	int taken = 0;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 8; i++) {
		jobs[i] = (struct work){ .run = wait_at_the_gate, .done = done };
		taken += workers_post(w, &jobs[i]);
	}
	CHECK(taken == 3 || taken == 4); /* three wait, and one may have begun */
	pthread_mutex_unlock(&gate);
	workers_free(w);
	int back = 0;
	for (struct queue_node *n = queue_take_all(done); n != NULL; n = n->next)
		back++;
	CHECK_INT(back, ==, taken);
	queue_free(done);
}

static const struct CMUnitTest tests[] = {
	TEST(nothing_is_lost_and_each_posters_order_stays), TEST(jobs_run_once_and_come_back), TEST(a_full_pool_refuses),
};
CHECK_MAIN(tests)
