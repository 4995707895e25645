/*
 * controllers.c - the contract of the class controllers (abi/orlop/controller.h), against every implementation.
 *
 * Without arguments: ours, each with tests/contract/controllers/NAME.scenario. Otherwise: MODULE.so SCENARIO
 * [param=value …], for strangers'. A scenario says what is there and what must come of it:
 *
 *	resource NAME namespaced|cluster KIND [FIELD …]	with field indexes
 *	param NAME VALUE
 *	make RESOURCE NAMESPACE|- NAME JSON		through the API
 *	delete RESOURCE NAMESPACE|- NAME
 *	wait SECONDS
 *	want RESOURCE COUNT				objects, in the end
 *	value RESOURCE NAMESPACE|- NAME PATH VALUE	of one of them
 *
 * The same must come of it when wake-ups are lost, when all is listed anew, when leadership comes late, when each
 * write fails at first, and when the controller dies after any of its writes. Once it is so, nothing more is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <orlop/controller.h>

#include "contract/subject.h"
#include "support/fakekube.h"

#define LINES_MAX	128
#define WORDS_MAX	12
#define CRASHES_MAX	12

enum way { PLAIN, LOST, RELIST, LATE, CONFLICT, BROKEN, BUSY, RESYNC, CRASH, WAYS };

static const char *const way_names[WAYS] = {
	[PLAIN] = "plainly",
	[LOST] = "with notes lost",
	[RELIST] = "with everything listed anew at each step",
	[LATE] = "when leadership comes late",
	[CONFLICT] = "with a conflict at the first try of each write",
	[BROKEN] = "with an error at the first try of each write",
	[BUSY] = "when told to come again later",
	[RESYNC] = "looked at again at each step",
	[CRASH] = "dying after a write",
};

struct scenario {
	char		*text;
	char		*lines[LINES_MAX];
	int		n;
};

struct run {
	struct subject	*s;
	struct fakekube	*k;
	enum way	way;
	int		crash_at;	/* CRASH: the write after which it dies, from 1 */
	int		writes;		/* so far */
	uint32_t	early;		/* writes while not leading */
	bool		leading;
	bool		crashed;
	bool		mine;		/* the scenario itself asks */
	char		*tried[256];	/* writes that have failed once */
	int		n_tried;
};

/* ---- scenarios ---------------------------------------------------------------------------------------- */

static bool scenario_read(const char *path, struct scenario *sc)
{
	FILE *f = fopen(path, "re");
	size_t n;

	memset(sc, 0, sizeof(*sc));
	if (!f)
		return false;
	sc->text = calloc(1, 65536);
	n = fread(sc->text, 1, 65535, f);
	fclose(f);
	sc->text[n] = '\0';
	for (char *save = NULL, *l = strtok_r(sc->text, "\n", &save); l && sc->n < LINES_MAX; l = strtok_r(NULL, "\n", &save))
		if (*l && *l != '#')
			sc->lines[sc->n++] = l;
	return sc->n > 0;
}

/* Splits a copy of @line into at most @max words; the last one takes the rest. */
static int words(const char *line, char *copy, size_t size, char **w, int max)
{
	int n = 0;
	char *p = copy;

	(void)snprintf(copy, size, "%s", line);
	while (*p && n < max) {
		while (*p == ' ' || *p == '\t')
			*p++ = '\0';
		if (!*p)
			break;
		w[n++] = p;
		if (n == max)
			break;
		while (*p && *p != ' ' && *p != '\t')
			p++;
	}
	return n;
}

static const char *place(const char *ns)
{
	return strcmp(ns, "-") ? ns : "";
}

/* ---- the API as the controller meets it ------------------------------------------------------------------ */

static bool is_write(const struct fakekube_req *req)
{
	return strcmp(req->verb, "get") && strcmp(req->verb, "list") && strcmp(req->resource, "events") &&
	       strcmp(req->resource, "leases.coordination.k8s.io");
}

static bool first_try(struct run *r, const struct fakekube_req *req)
{
	char key[512];

	(void)snprintf(key, sizeof(key), "%s %s/%s %s/%s", req->verb, req->resource, req->sub ? req->sub : "",
		       req->ns ? req->ns : "", req->name ? req->name : "");
	for (int i = 0; i < r->n_tried; i++)
		if (!strcmp(r->tried[i], key))
			return false;
	if (r->n_tried == 256)
		return false;
	r->tried[r->n_tried++] = strdup(key);
	return true;
}

static int hook(void *arg, const struct fakekube_req *req, const char **ret_reason)
{
	struct run *r = arg;

	if (r->mine || !is_write(req))
		return 0;
	if (!r->leading)
		r->early++;
	r->writes++;
	if (r->way == CRASH && r->writes == r->crash_at)
		r->crashed = true;
	if (r->way != CONFLICT && r->way != BROKEN && r->way != BUSY)
		return 0;
	/* The API never answers a create with Conflict: what is there already is another reason. */
	if ((r->way == CONFLICT && !strcmp(req->verb, "create")) || !first_try(r, req))
		return 0;
	*ret_reason = r->way == CONFLICT ? "Conflict" : r->way == BUSY ? "TooManyRequests" : "InternalError";
	return r->way == CONFLICT ? 409 : r->way == BUSY ? 429 : 500;
}

static int has_crashed(void *arg)
{
	return ((struct run *)arg)->crashed;
}

/* Time passes; a controller that has to die does, and another takes its place. */
static bool go_on(struct run *r, uint64_t ns)
{
	struct subject *s = r->s;
	uint64_t end = fakehost_now(s->fh) + ns;

	while (r->way == CRASH && fakehost_now(s->fh) < end &&
	       fakehost_run_until(s->fh, has_crashed, r, end - fakehost_now(s->fh))) {
		r->crashed = false;
		fakehost_crash(s->fh, s->m);
		if (!subject_load(s))
			return false;
	}
	if (fakehost_now(s->fh) < end)
		fakehost_advance(s->fh, end - fakehost_now(s->fh));
	return true;
}

static void resource(struct subject *s, char **w, int n)
{
	static const char *const indexed[] = { "owner", "uid", "labels", NULL };
	const char *dot = strchr(w[1], '.');
	char plural[128];
	struct orlop_resource_info info = {
		.size = sizeof(info), .namespaced = !strcmp(w[2], "namespaced"), .name = w[1], .group = dot ? dot + 1 : "",
		.version = "v1", .kind = w[3], .plural = plural, .fields = (const char *const *)w + 4,
		.n_fields = (uint32_t)n - 4, .indexed = indexed,
	};

	(void)snprintf(plural, sizeof(plural), "%.*s", (int)strcspn(w[1], "."), w[1]);
	fakehost_resource_info(s->fh, &info);
}

/* ---- one run ------------------------------------------------------------------------------------------------ */

static void resync(struct run *r)
{
	struct fakehost_reply reply = fakehost_call(r->s->fh, "controllers", ORLOP_CONTROLLER_RESYNC, NULL);

	if (reply.status && reply.status != -ENOTSUP)
		fail("%s: resync answers %d", r->s->title, reply.status);
	fakehost_reply_done(&reply);
}

static bool step(struct run *r, char **w, int n)
{
	struct fakehost *fh = r->s->fh;

	if (r->way == LOST)
		fakehost_lose_notes(fh, 5);
	if (!strcmp(w[0], "make") && n == 5) {
		uint32_t code;

		r->mine = true;
		code = fakekube_do(r->k, "create", w[1], place(w[2]), w[3], w[4]);
		r->mine = false;
		if (code != 201) {
			fail("the scenario: cannot make %s %s", w[1], w[3]);
			return false;
		}
	} else if (!strcmp(w[0], "delete") && n >= 4) {
		r->mine = true;
		(void)fakekube_do(r->k, "delete", w[1], place(w[2]), w[3], NULL);
		r->mine = false;
	} else if (!strcmp(w[0], "wait") && n >= 2) {
		return go_on(r, (uint64_t)atoi(w[1]) * FAKEHOST_S);
	} else {
		return true;
	}
	if (!go_on(r, 200 * FAKEHOST_MS))
		return false;
	if (r->way == RELIST)
		fakehost_relist(fh);
	if (r->way == RESYNC)
		resync(r);
	return true;
}

static bool wanted(struct run *r, char **w, int n)
{
	if (!strcmp(w[0], "want") && n >= 3 && fakehost_count(r->s->fh, w[1]) != strtoull(w[2], NULL, 10)) {
		otap_diag("%s: %llu, want %s", w[1], (unsigned long long)fakehost_count(r->s->fh, w[1]), w[2]);
		return false;
	}
	if (!strcmp(w[0], "value") && n >= 5) {
		const char *is = fakekube_at(r->k, w[1], place(w[2]), w[3], w[4]);

		if (strcmp(is, n > 5 ? w[5] : "")) {
			otap_diag("%s %s: %s is \"%s\", want \"%s\"", w[1], w[3], w[4], is, n > 5 ? w[5] : "");
			return false;
		}
	}
	return true;
}

/* A host with the scenario's parameters and resources. */
static void subject_host(struct subject *s, const struct scenario *sc)
{
	char copy[8192], *w[WORDS_MAX];

	s->fh = fakehost_new();
	subject_params(s);
	for (int i = 0; i < sc->n; i++) {
		int n = words(sc->lines[i], copy, sizeof(copy), w, WORDS_MAX);

		if (!strcmp(w[0], "param") && n >= 3)
			fakehost_param(s->fh, w[1], w[2]);
		else if (!strcmp(w[0], "resource") && n >= 4)
			resource(s, w, n);
	}
}

/* Returns how many writes it took, -1: it could not be tried. */
static int run(struct subject *s, const struct scenario *sc, enum way way, int crash_at)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct run r = { .s = s, .way = way, .crash_at = crash_at, .leading = way != LATE };
	char copy[8192], *w[WORDS_MAX];
	bool good = true;
	int writes;

	subject_host(s, sc);
	fakehost_resource(s->fh, "events", 1, NULL);
	r.k = fakekube_new(s->fh);
	fakekube_hook(r.k, hook, &r);
	if (way == LATE)
		fakehost_leading(s->fh, 0);
	if (!subject_load(s)) {
		fakekube_free(r.k);
		fakehost_free(s->fh);
		return -1;
	}
	for (int i = 0; i < sc->n && good; i++)
		good = step(&r, w, words(sc->lines[i], copy, sizeof(copy), w, 5));
	if (way == LATE) {
		ok(r.early == 0, "%s: writes nothing while it does not lead", s->title);
		r.leading = true;
		fakehost_leading(s->fh, 1);
		for (int i = 0; i < sc->n && good; i++)
			if (!strncmp(sc->lines[i], "wait", 4))
				good = step(&r, w, words(sc->lines[i], copy, sizeof(copy), w, 5));
	}
	good = good && go_on(&r, 60 * FAKEHOST_S);
	writes = r.writes;
	for (int i = 0; i < sc->n; i++)
		good = wanted(&r, w, words(sc->lines[i], copy, sizeof(copy), w, 6)) && good;
	if (way == CRASH)
		ok(good, "%s: comes to it %s (%d)", s->title, way_names[way], crash_at);
	else
		ok(good, "%s: comes to it %s", s->title, way_names[way]);
	if (!good)
		fakekube_show(r.k);
	r.writes = 0;
	r.way = PLAIN;
	fakekube_forget(r.k);
	resync(&r);
	(void)go_on(&r, 5 * FAKEHOST_S);
	fakehost_relist(s->fh);
	(void)go_on(&r, 5 * FAKEHOST_S);
	if (!ok(r.writes == 0, "%s: and then writes nothing more", s->title))
		fakekube_show(r.k);
	is_int(fakehost_unload(s->fh, s->m, &err), 0, "%s: unloads", s->title);
	is_int(fakehost_held(s->fh), 0, "%s: and leaves nothing", s->title);
	orlop_error_done(&err);
	for (int i = 0; i < r.n_tried; i++)
		free(r.tried[i]);
	fakekube_free(r.k);
	fakehost_free(s->fh);
	return writes;
}

/* With nothing there nothing is written, however long it goes on. */
static void run_empty(struct subject *s, const struct scenario *sc)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct run r = { .s = s, .way = PLAIN, .leading = true };

	subject_host(s, sc);
	r.k = fakekube_new(s->fh);
	fakekube_hook(r.k, hook, &r);
	if (subject_load(s)) {
		(void)go_on(&r, 600 * FAKEHOST_S);
		ok(fakehost_is_ready(s->fh, s->m), "%s: is ready", s->title);
		resync(&r);
		is_int(r.writes, 0, "%s: of nothing comes nothing", s->title);
		is_int(fakehost_unload(s->fh, s->m, &err), 0, "%s: unloads", s->title);
		is_int(fakehost_held(s->fh), 0, "%s: and leaves nothing", s->title);
	}
	orlop_error_done(&err);
	fakekube_free(r.k);
	fakehost_free(s->fh);
}

static void subject_run(const char *so, const char *title, const char *scenario, char **params)
{
	struct subject s = { .title = title, .params = params };
	struct scenario sc;
	int writes;

	if (!scenario_read(scenario, &sc)) {
		fail("%s: no scenario %s", title, scenario);
		return;
	}
	if (subject_open(&s, so, "controllers")) {
		run_empty(&s, &sc);
		writes = run(&s, &sc, PLAIN, 0);
		ok(writes > 0, "%s: the scenario asks for a write", title);
		for (enum way way = LOST; way < CRASH && writes >= 0; way++)
			(void)run(&s, &sc, way, 0);
		subject_leaks(true);
		for (int i = 1; i <= writes && i <= CRASHES_MAX; i++)
			(void)run(&s, &sc, CRASH, i);
		subject_leaks(false);
	}
	free(sc.text);
}

int main(int argc, char **argv)
{
	static const char *const ours[] = { "replicaset", "deployment", "namespace", "garbage-collector", "serviceaccount",
					    "node-lifecycle", "taint-eviction", "pod-garbage-collector",
					    "replicationcontroller", "endpoints", "endpointslice", "disruption", "resourcequota", "pv-protection",
					    "pvc-protection", "ephemeral-volume", "certificate" };
	const char *builddir = getenv("builddir"), *srcdir = getenv("srcdir");
	char so[4096], scenario[4096];

	if (argc > 2) {
		subject_run(argv[1], argv[1], argv[2], argv + 3);
		return done_testing();
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		(void)snprintf(so, sizeof(so), "%s/modules/controllers/%s.so", builddir ? builddir : ".", ours[i]);
		(void)snprintf(scenario, sizeof(scenario), "%s/tests/contract/controllers/%s.scenario", srcdir ? srcdir : ".",
			       ours[i]);
		if (access(so, F_OK))
			otap_skip(ours[i], 1);
		else
			subject_run(so, ours[i], scenario, NULL);
	}
	return done_testing();
}
