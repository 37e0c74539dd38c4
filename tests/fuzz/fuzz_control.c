/* tests/fuzz/fuzz_control.c - lines on the control socket, and a hostile tracker's frames in the answers to them.
 *
 * The input: how calls are answered (frames, raw or with the verb's fields; jobs, peers, shares), then the bytes for
 * the socket. What must hold: every line gets exactly one line of JSON back, unless the visitor was shown the door. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/control.h"
#include "core/base/fs.h"
#include "tests/fuzz/fuzz_reply.h"
#include "tests/unit/client/fake_engine.h"

enum { FRAMES_MAX = 4, ROUNDS = 400 };

struct lab {
	struct fake_engine fake; /* first */
	struct slice frames[FRAMES_MAX];
	unsigned n, code;
	uint8_t how; /* bit 0: frames with the verb's fields; 1: an event with each call; 2 on: how many of a list */
	unsigned quits;
};

static const struct fuzz_pool pool = { .wall_ms = UINT64_C(1700000000000) };

static void put_frames(struct lab *l, struct fake_engine *fake, struct call *c)
{
	(void)fake;
	for (unsigned i = 0; i < l->n; i++) {
		struct buf *b = fake_frame(c);
		struct cursor in = cursor_of(l->frames[i].data, l->frames[i].len);
		if ((l->how & 1) != 0)
			any_reply(&pool, c->verb, &in, b);
		else
			buf_put(b, l->frames[i].data, l->frames[i].len);
	}
}

static void put_job(struct job_info *job, uint64_t id, struct cursor *in)
{
	job->id = id;
	job->state = (enum job_state)(get_u8(in) % (JOB_STATE_CANCELLED + 1));
	job->total = get_u64(in);
	job->eta = get_u8(in) - 1;
	job->error.code = (enum shoal_err)(get_u8(in) % SHOAL_ERR_COUNT);
}

/* Lists are allocated the way call_free() frees them. */
static void put_list(struct lab *l, struct call *c)
{
	struct cursor in = cursor_of(l->frames[0].data, l->n != 0 ? l->frames[0].len : 0);
	c->n = (l->how >> 2) % 4;
	if (c->kind == CALL_JOBS || c->kind == CALL_JOB)
		c->jobs = calloc(c->n + 1, sizeof(*c->jobs));
	else if (c->kind == CALL_JOB_PEERS)
		c->peers = calloc(c->n + 1, sizeof(*c->peers));
	else
		c->shares = calloc(c->n + 1, sizeof(*c->shares));
	for (size_t i = 0; i < c->n; i++) {
		if (c->jobs != NULL)
			put_job(&c->jobs[i], i + 1, &in);
		else if (c->peers != NULL)
			c->peers[i].pieces = get_u32(&in);
		else
			c->shares[i] = (struct share_info){ .gid = get_id16(&in), .path = strdup("/x") };
	}
}

static void tell_event(struct lab *l, const struct call *c)
{
	struct slice text = l->n != 0 ? l->frames[0] : slice_str("x");
	struct client_event ev = { .word = "note", .tracker = 1 };
	ev.type = (enum client_event_type)(1 + c->verb % EVENT_SHARE);
	snprintf(ev.group, sizeof(ev.group), "%.*s", (int)(text.len < 100 ? text.len : 100), (const char *)text.data);
	snprintf(ev.text, sizeof(ev.text), "%.*s", (int)(text.len < 100 ? text.len : 100), (const char *)text.data);
	if (ev.type == EVENT_JOB) {
		ev.job = calloc(1, sizeof(*ev.job));
		ev.word = "job.progress";
	}
	fake_event(&l->fake, ev);
}

/* Each call gets what the input says, or an error. */
static void on_call(struct fake_engine *fake, struct call *c)
{
	struct lab *l = (struct lab *)(void *)fake;

	if ((l->how & 2) != 0)
		tell_event(l, c);
	if (l->code != SHOAL_OK) {
		error_set(&c->error, (enum shoal_err)l->code, "refused");
		return;
	}
	c->stamp = (struct stamp){ .hlc = 5, .tracker = 1, .dot = { 2, 3 } };
	switch (c->kind) {
	case CALL_VERB: put_frames(l, fake, c); break;
	case CALL_STOP_SHARE:
		c->verb = VERB_STOP_SHARE;
		put_frames(l, fake, c);
		break;
	case CALL_JOBS:
	case CALL_JOB_PEERS:
	case CALL_HAVE: put_list(l, c); break;
	case CALL_JOB_EXPLAIN: c->text = strdup("so"); break;
	case CALL_UPLOAD:
	case CALL_DOWNLOAD:
	case CALL_JOB:
	case CALL_JOB_WAIT: fake_give_job(fake, c); break;
	default: break;
	}
}

static void on_quit(void *owner)
{
	((struct lab *)owner)->quits++;
}

static int visit(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

/* Takes what came. False: the other side has closed. */
static bool hear(int fd, struct buf *heard)
{
	char part[4096];
	ssize_t n;
	while ((n = recv(fd, part, sizeof(part), 0)) > 0)
		buf_put(heard, part, (size_t)n);
	return n < 0;
}

static size_t count_lines(struct slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += s.data[i] == '\n';
	return n;
}

/* Every line is an object: an answer or an event. */
static size_t check_answers(const struct buf *heard)
{
	size_t answers = 0, at = 0;
	const uint8_t *nl;

	while ((nl = memchr(heard->data + at, '\n', heard->len - at)) != NULL) {
		size_t len = (size_t)(nl - (heard->data + at));
		json_error_t why;
		json_t *line = json_loadb((const char *)heard->data + at, len, JSON_ALLOW_NUL, &why);
		if (!json_is_object(line))
			fprintf(stderr, "%s: %.*s\n", why.text, (int)len, (const char *)heard->data + at);
		CHECK(json_is_object(line));
		if (json_object_get(line, "id") != NULL) {
			CHECK((json_object_get(line, "value") != NULL) + (json_object_get(line, "err") != NULL) +
			      (json_object_get(line, "job") != NULL) == 1);
			answers++;
		} else {
			CHECK(json_object_get(line, "event") != NULL);
		}
		json_decref(line);
		at += len + 1;
		if (at == heard->len)
			break;
	}
	CHECK_INT(at, ==, heard->len); /* whole lines only */
	return answers;
}

/* Sends it all, hears it all. False: the connection was closed. */
static bool converse(struct shell *sh, int fd, struct slice bytes, struct buf *heard)
{
	size_t lines = count_lines(bytes);
	bool open = true;

	for (int i = 0; i < ROUNDS && open; i++) {
		ssize_t n = bytes.len != 0 ? send(fd, bytes.data, bytes.len, MSG_NOSIGNAL) : 0;
		if (n > 0)
			bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
		shell_step(sh, 0);
		open = hear(fd, heard);
		if (bytes.len == 0 && count_lines(slice_of(heard->data, heard->len)) >= lines && i > 3)
			break;
	}
	return open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	struct lab l = { .fake.answer = on_call, .fake.job = { .id = 3, .group = "team", .file = "song" } };
	struct control_config config = { .quit = on_quit, .owner = &l };
	struct buf heard = { 0 };
	struct error e;
	char path[96];

	l.code = get_u8(&in) % (SHOAL_ERR_COUNT * 4);
	l.code = l.code < SHOAL_ERR_COUNT ? l.code : SHOAL_OK;
	l.n = get_u8(&in) % (FRAMES_MAX + 1);
	l.how = get_u8(&in);
	for (unsigned i = 0; i < l.n; i++)
		l.frames[i] = fuzz_take(&in, 1024);
	struct slice bytes = get_rest(&in);
	snprintf(path, sizeof(path), "%s/control", fuzz_folder());
	struct shell *sh = fake_shell(&l.fake);
	struct control *c = control_open(path, &e);
	CHECK(c != NULL);
	control_serve(c, sh, &config);
	int fd = visit(path);
	bool open = converse(sh, fd, bytes, &heard);
	size_t answers = heard.len != 0 ? check_answers(&heard) : 0;
	if (open)
		CHECK_INT(answers, ==, count_lines(bytes));
	close(fd);
	shell_step(sh, 0);
	control_close(c);
	fake_close(&l.fake, sh);
	buf_free(&heard);
	return 0;
}
