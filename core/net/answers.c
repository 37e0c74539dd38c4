/* core/net/answers.c */
#include "core/net/answers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/base/crypto.h"
#include "core/base/mem.h"

struct answers {
	/* -- immutable */
	struct workers *workers;
	struct queue *queue;
	answers_fn *fn;
	void *arg;
	/* -- loop thread */
	struct loop_watch *watch;
};

struct answer {
	struct work work; /* its node is what is queued, whether a worker had it or not */
	enum env_event_type type;
	uint64_t cookie;
	enum shoal_err result;
	struct content_op *content;
	struct env_work job;                  /* WORKED */
	char record[PASSWORD_RECORD_MAX];     /* WORKED, HASH_PASSWORD */
};

static struct answer *answer_of(struct queue_node *node)
{
	return container_of(container_of(node, struct work, node), struct answer, work);
}

static void free_answer(struct answer *answer)
{
	OPENSSL_cleanse(answer->record, sizeof(answer->record));
	free(answer);
}

static void take_answers(void *arg, struct queue_node *nodes)
{
	struct answers *a = arg;

	while (nodes != NULL) {
		struct answer *answer = answer_of(nodes);
		struct env_event ev = { .type = answer->type, .cookie = answer->cookie, .result = answer->result,
			                .content = answer->content };
		if (answer->type == ENV_WORKED && answer->job.kind == WORK_HASH_PASSWORD && ev.result == SHOAL_OK)
			ev.record = answer->record;
		nodes = nodes->next;
		a->fn(a->arg, &ev);
		free_answer(answer);
	}
}

struct answers *answers_new(struct loop *loop, struct workers *workers, answers_fn *fn, void *arg)
{
	struct answers *a = xalloc(sizeof(*a));

	*a = (struct answers){ .workers = workers, .queue = queue_new(), .fn = fn, .arg = arg };
	a->watch = loop_watch_queue(loop, a->queue, take_answers, a);
	if (a->watch == NULL) {
		answers_free(a, NULL);
		return NULL;
	}
	return a;
}

void answers_free(struct answers *a, void (*content_free)(struct content_op *op))
{
	if (a == NULL)
		return;
	loop_watch_free(a->watch);
	for (struct queue_node *node = queue_take_all(a->queue); node != NULL;) {
		struct answer *answer = answer_of(node);
		node = node->next;
		if (answer->content != NULL && content_free != NULL)
			content_free(answer->content);
		free_answer(answer);
	}
	queue_free(a->queue);
	free(a);
}

/* On a thread of the pool. */
static void compute(struct work *work)
{
	struct answer *answer = container_of(work, struct answer, work);
	struct env_work *job = &answer->job;

	if (job->kind == WORK_HASH_PASSWORD)
		answer->result = password_hash(job->password, job->password_len, job->scrypt_ln, answer->record);
	else
		answer->result = password_verify(job->password, job->password_len, job->record, job->scrypt_ln)
		                         ? SHOAL_OK
		                         : SHOAL_EAUTH;
	OPENSSL_cleanse(job->password, job->password_len);
	free(job->password);
	free(job->record);
}

enum shoal_err answers_work(struct answers *a, const struct env_work *job, uint64_t cookie)
{
	struct answer *answer;

	if (a->workers == NULL || job->kind == WORK_VERIFY_CONTENT)
		return SHOAL_EUSAGE;
	answer = try_alloc(sizeof(*answer));
	if (answer == NULL)
		return SHOAL_EBUSY;
	answer->work.run = compute;
	answer->work.done = a->queue;
	answer->type = ENV_WORKED;
	answer->cookie = cookie;
	answer->job = *job;
	if (workers_post(a->workers, &answer->work))
		return SHOAL_OK;
	free_answer(answer);
	return SHOAL_EBUSY;
}

void answers_post(struct answers *a, enum env_event_type type, uint64_t cookie, enum shoal_err result,
                  struct content_op *op)
{
	struct answer *answer = xalloc(sizeof(*answer));

	answer->type = type;
	answer->cookie = cookie;
	answer->result = result;
	answer->content = op;
	queue_post(a->queue, &answer->work.node);
}
