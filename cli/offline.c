/*
 * offline.c - an orlopd with nothing but the storage module, for looking at and changing a store.
 */
#include "offline.h"

#include "daemon.h"
#include "proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define READY_S		60

/* Comments become blanks; texts stay. */
static void strip_comments(char *p)
{
	bool text = false;

	for (; *p; p++) {
		const char *end = NULL;

		if (*p == '\\' && text && p[1]) {
			p++;
		} else if (*p == '"') {
			text = !text;
		} else if (!text && (*p == '#' || (*p == '/' && p[1] == '/'))) {
			end = p + strcspn(p, "\n");
		} else if (!text && *p == '/' && p[1] == '*') {
			end = strstr(p, "*/");
			end = end ? end + 2 : p + strlen(p);
		}
		for (; end && p < end; p++)
			*p = ' ';
		if (end)
			p--;
	}
}

/* NAME = VALUE between @p and @end: where the value begins, or NULL. */
static const char *value_of(const char *p, const char *end, const char *name)
{
	size_t len = strlen(name);

	for (; (p = strstr(p, name)) != NULL && p < end; p += len) {
		const char *q = p + len;

		if (isalnum((unsigned char)p[-1]) || p[-1] == '_')
			continue;
		q += strspn(q, " \t\n");
		if (*q == '=' || *q == ':')
			return q + 1 + strspn(q + 1, " \t\n");
	}
	return NULL;
}

static char *text_of(const char *p, const char *end, const char *name)
{
	const char *v = value_of(p, end, name);
	const char *stop = v && *v == '"' ? strchr(v + 1, '"') : NULL;

	return stop ? omem_strndup(v + 1, (size_t)(stop - v - 1)) : NULL;
}

int store_find(const struct setup *s, struct store *ret, struct orlop_error *err)
{
	cleanup_free char *config = daemon_config(s);
	cleanup_obuf struct obuf b = OBUF_INIT;
	const char *begin;
	const char *end;
	const char *number;
	int r = config ? ofile_read(AT_FDCWD, config, 1u << 20, &b) : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	if (r)
		return orlop_fail(err, -r, 0, "", "%s: %s; was Orlop ever up here?", config ? config : s->dir,
				  strerrordesc_np(-r));
	strip_comments(b.data);
	begin = strstr(b.data, "\"storage/");
	end = begin ? strstr(begin, "module") : NULL;
	/* The word comes again with the next module; parameters of this one are before it. */
	if (begin && !end)
		end = b.data + b.len;
	if (!begin || !strchr(begin + 1, '"'))
		return orlop_fail(err, ENOENT, 0, "", "%s has no storage module", config);
	ret->module = omem_strndup(begin + 1, strcspn(begin + 1, "\""));
	ret->path = text_of(begin, end, "path");
	number = value_of(begin, end, "map_mb");
	ret->map_mb = number ? strtoll(number, NULL, 10) : 0;
	return ret->module ? 0 : orlop_fail(err, ENOMEM, 0, "", "out of memory");
}

int store_new(const struct setup *s, struct store *ret, struct orlop_error *err)
{
	cleanup_free char *dir = setup_path(s, "db");
	int r = dir ? ofile_mkdir_p(dir, 0700) : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	ret->module = omem_strdup("storage/lmdb");
	ret->path = setup_path(s, "db/data.mdb");
	if (r == 0 && (!ret->module || !ret->path))
		r = -ENOMEM;
	return r ? orlop_fail(err, -r, 0, "", "%s: %s", dir ? dir : s->dir, strerrordesc_np(-r)) : 0;
}

void store_done(struct store *st)
{
	omem_free(st->module);
	omem_free(st->path);
}

static void quoted(struct obuf *b, const char *text)
{
	obuf_putc(b, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			obuf_putc(b, '\\');
		obuf_putc(b, *text);
	}
	obuf_putc(b, '"');
}

static int write_config(const struct offline *o, const struct place *p, const struct store *st, const char *path,
			bool read_only)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_free char *file = omem_printf("%s/orlop.conf", o->dir);

	obuf_puts(&b, "data_dir = ");
	quoted(&b, o->dir);
	obuf_puts(&b, ";\nmodule_dir = ");
	quoted(&b, p->modules);
	obuf_puts(&b, ";\nlog_level = \"error\";\nmodules = ( { module = ");
	quoted(&b, st->module);
	obuf_puts(&b, "; params = { ");
	if (path) {
		obuf_puts(&b, "path = ");
		quoted(&b, path);
		obuf_puts(&b, "; ");
	}
	if (st->map_mb > 0)
		obuf_printf(&b, "map_mb = %lld; ", (long long)st->map_mb);
	if (read_only)
		obuf_puts(&b, "read_only = true; ");
	obuf_puts(&b, "}; } );\n");
	if (!file || obuf_err(&b))
		return -ENOMEM;
	return ofile_write(AT_FDCWD, file, b.data, b.len, 0600);
}

int offline_open(const struct store *st, const char *path, bool read_only, struct offline *ret,
		 struct orlop_error *err)
{
	const struct rlimit no_core = { 0, 0 };
	char dir[] = "/tmp/orlop-offline.XXXXXX";
	struct place p = { .orlopd = NULL };
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->c.fd = -1;
	if (!mkdtemp(dir))
		return orlop_fail(err, errno, 0, "", "%s: %s", dir, strerrordesc_np(errno));
	ret->dir = omem_strdup(dir);
	ret->s.dir = omem_strdup(dir);
	ret->s.control = omem_printf("%s/orlop.sock", dir);
	/* It may die of what it reads, and that is no news. */
	(void)setrlimit(RLIMIT_CORE, &no_core);
	r = ret->dir && ret->s.dir && ret->s.control ? place_find(&p, err) : orlop_fail(err, ENOMEM, 0, "", "out of memory");
	if (r == 0) {
		r = write_config(ret, &p, st, path ? path : st->path, read_only);
		if (r)
			r = orlop_fail(err, -r, 0, "", "%s: %s", dir, strerrordesc_np(-r));
	}
	if (r == 0)
		r = daemon_start(&ret->s, &p, READY_S, &ret->pid, err);
	if (r == 0)
		r = ctl_open(ret->s.control, &ret->c, err);
	place_done(&p);
	return r;
}

/* How it ended by itself within a moment, or after it was asked to. */
static int reap(pid_t pid, bool ask)
{
	int64_t until = mono_ms() + (ask ? 60000 : 2000);
	int status = 0;
	bool asked = false;

	for (;;) {
		const struct timespec ts = { 0, 5000000 };

		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL ? WTERMSIG(status) : 0;
		if (ask && !asked)
			(void)kill(pid, SIGTERM);
		asked = true;
		if (mono_ms() > until)
			(void)kill(pid, SIGKILL);
		(void)nanosleep(&ts, NULL);
	}
}

int offline_close(struct offline *o)
{
	bool alive;
	char c;
	int sig = 0;

	if (!o->dir)
		return 0;
	/* A connection that has ended says that the process ends: its own way, then. */
	alive = o->c.fd >= 0 && recv(o->c.fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
	ctl_close(&o->c);
	if (o->pid > 0)
		sig = reap(o->pid, alive);
	(void)ofile_remove_tree(AT_FDCWD, o->dir);
	omem_free(o->dir);
	setup_done(&o->s);
	memset(o, 0, sizeof(*o));
	o->c.fd = -1;
	return sig;
}
