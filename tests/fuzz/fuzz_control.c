/* tests/fuzz/fuzz_control.c - lines on the control socket, and a hostile tracker's frames in the answers to them.
 *
 * The input: frames that the tracker answers with, then the bytes for the socket. What must hold: every line gets exactly
 * one line of JSON back, with its id, unless the visitor was shown the door. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/control.h"
#include "core/base/fs.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/client/fake_engine.h"

enum { FRAMES_MAX = 4, ROUNDS = 400 };

struct lab {
	struct fake_engine fake; /* first */
	struct slice frames[FRAMES_MAX];
	unsigned n, code;
	unsigned quits;
};

/* Each call gets the frames of the input, or an error. */
static void on_call(struct fake_engine *fake, struct call *c)
{
	struct lab *l = (struct lab *)(void *)fake;

	if (l->code != SHOAL_OK) {
		error_set(&c->error, (enum shoal_err)l->code, "refused");
		return;
	}
	c->stamp = (struct stamp){ .hlc = 5, .tracker = 1, .dot = { 2, 3 } };
	if (c->kind == CALL_VERB || c->kind == CALL_STOP_SHARE) {
		for (unsigned i = 0; i < l->n; i++) {
			struct buf *b = fake_frame(c);
			buf_put(b, l->frames[i].data, l->frames[i].len);
		}
	} else if (c->kind >= CALL_UPLOAD && c->kind <= CALL_JOB_WAIT && c->kind != CALL_JOB_PEERS &&
	           c->kind != CALL_JOB_EXPLAIN) {
		fake_give_job(fake, c);
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

/* Every line is an object; answers have an id, and those to lines that were calls the right one. */
static size_t check_answers(const struct buf *heard)
{
	size_t answers = 0, at = 0;
	const uint8_t *nl;

	while ((nl = memchr(heard->data + at, '\n', heard->len - at)) != NULL) {
		size_t len = (size_t)(nl - (heard->data + at));
		json_error_t why;
		json_t *line = json_loadb((const char *)heard->data + at, len, 0, &why);
		CHECK(json_is_object(line));
		if (json_object_get(line, "event") == NULL) {
			CHECK(json_object_get(line, "id") != NULL);
			CHECK((json_object_get(line, "value") != NULL) + (json_object_get(line, "err") != NULL) +
			      (json_object_get(line, "job") != NULL) == 1);
			answers++;
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
