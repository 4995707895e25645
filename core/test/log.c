/* test/log.c - lines on stderr, levels, repeats; metrics as text. */
#include "log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "kit.h"
#include "metrics.h"

/* Runs @fn with stderr in a file; returns what it wrote. */
static char *captured(void (*fn)(struct core_log *l), struct core_log *l)
{
	FILE *f = tmpfile();
	int old = dup(2);
	struct obuf b = OBUF_INIT;
	char buf[4096];
	ssize_t n;

	if (!f)
		otap_bail_out("no file");
	(void)dup2(fileno(f), 2);
	fn(l);
	(void)dup2(old, 2);
	close(old);
	for (off_t off = 0; (n = pread(fileno(f), buf, sizeof(buf), off)) > 0; off += n)
		obuf_append(&b, buf, (size_t)n);
	fclose(f);
	return obuf_steal(&b, NULL);
}

static int lines(const char *s, const char *with)
{
	int n = 0;

	while ((s = strstr(s, with))) {
		n++;
		s++;
	}
	return n;
}

static void one_line(struct core_log *l)
{
	core_log_write(l, "a/b", ORLOP_LOG_INFO, "opened", "path=/x\nlevel=error forged\033[1m");
}

/* What is read back as logfmt is what was said. */
static void values(struct core_log *l)
{
	char longer[2000];

	core_logf(l, "a/b", ORLOP_LOG_INFO, "v1", "why=\"%s\" n=%d", "pods \"x\" is forbidden: C:\\ \" level=error", -3);
	core_logf(l, "a/b", ORLOP_LOG_INFO, "v2", "path=%s other=%s a=%s/%s", "/with space", "plain=1", "b c", "d");
	core_logf(l, "a/b", ORLOP_LOG_INFO, "v3", "some=\"%.*s\" few=%.3s 100%% x=%08llx z=%zu ld=%ld f=%.2f c=%c p=%p w=%*d", 4,
		  "abcdef", "ghijkl", 0xabcull, (size_t)7, -8L, 1.5, 'q', NULL, 5, 42);
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	core_logf(l, "a/b", ORLOP_LOG_INFO, "v4", "why=\"%s\" lost=1", longer);
	memset(longer, '"', sizeof(longer) - 1);
	core_logf(l, "a/b", ORLOP_LOG_INFO, "v5", "why=%s", longer);
}

static void repeats(struct core_log *l)
{
	for (int i = 0; i < 100; i++) {
		core_log_write(l, "a/b", ORLOP_LOG_WARN, "retry", "in=5");
		core_logf(l, "a/b", ORLOP_LOG_WARN, "other", "n=%d", i % 2);
	}
}

static void levels(struct core_log *l)
{
	core_log_write(l, "a/b", ORLOP_LOG_DEBUG, "quiet", "");
	(void)core_log_set_module(l, "a/b", ORLOP_LOG_DEBUG);
	core_log_write(l, "a/b", ORLOP_LOG_DEBUG, "loud", "");
	core_log_write(l, "c/d", ORLOP_LOG_DEBUG, "quiet", "");
	(void)core_log_set_module(l, "a/b", 0);
	core_log_write(l, "a/b", ORLOP_LOG_DEBUG, "quiet", "");
	core_log_set_level(l, ORLOP_LOG_ERR);
	core_log_write(l, "a/b", ORLOP_LOG_WARN, "quiet", "");
	core_log_write(l, "a/b", ORLOP_LOG_ERR, "alarm", NULL);
}

static void end(struct core_log *l)
{
	core_log_free(l);
}

static void test_metrics(void)
{
	static const double bounds[] = { 0.1, 1, 10 };
	struct core_metrics *m;
	struct orlop_metric *a;
	struct orlop_metric *b;
	struct orlop_metric *h;
	struct orlop_metric *x = NULL;
	struct orlop_metric *y = NULL;
	struct obuf out = OBUF_INIT;

	(void)core_metrics_new(&m);
	is_int(core_metric_new(m, ORLOP_METRIC_COUNTER, "orlop_x_total", "code=\"200\"", "Things", NULL, 0, &a), 0,
	       "a counter");
	(void)core_metric_new(m, ORLOP_METRIC_HISTOGRAM, "orlop_s", NULL, NULL, bounds, 3, &h);
	(void)core_metric_new(m, ORLOP_METRIC_COUNTER, "orlop_x_total", "code=\"404\"", NULL, NULL, 0, &b);
	(void)core_metric_new(m, ORLOP_METRIC_COUNTER, "orlop_x_total", "code=\"200\"", NULL, NULL, 0, &x);
	ok(x == a && a != b, "the same name and labels is the same metric");
	is_int(core_metric_new(m, ORLOP_METRIC_GAUGE, "orlop_x_total", NULL, NULL, NULL, 0, &x), -EINVAL,
	       "a name has one type");
	is_int(core_metric_new(m, ORLOP_METRIC_GAUGE, "9x", NULL, NULL, NULL, 0, &x), -EINVAL, "no name");
	is_int(core_metric_new(m, ORLOP_METRIC_GAUGE, "x", "a=\"b\"\n", NULL, NULL, 0, &x), -EINVAL, "no label");
	core_metric_add(a, 2);
	core_metric_add(a, 0.5);
	core_metric_add(b, 1e6);
	core_metric_observe(h, 0.05);
	core_metric_observe(h, 5);
	core_metric_observe(h, 50);
	core_metrics_text(m, &out);
	ok(strstr(obuf_cstr(&out), "\nprocess_resident_memory_bytes "), "the process itself is in it");
	obuf_truncate(&out, (size_t)(strstr(obuf_cstr(&out), "# HELP process_") - obuf_cstr(&out)));
	is_str(obuf_cstr(&out), "# HELP orlop_x_total Things\n# TYPE orlop_x_total counter\n"
	       "orlop_x_total{code=\"200\"} 2.5\norlop_x_total{code=\"404\"} 1000000\n"
	       "# TYPE orlop_s histogram\norlop_s_bucket{le=\"0.1\"} 1\norlop_s_bucket{le=\"1\"} 1\n"
	       "orlop_s_bucket{le=\"10\"} 2\norlop_s_bucket{le=\"+Inf\"} 3\norlop_s_sum 55.05\n"
	       "orlop_s_count 3\n", "the text");
	is_int(core_metric_new_of(m, "a/b", ORLOP_METRIC_COUNTER, "of_b", NULL, NULL, NULL, 0, &x), 0, "one of a module");
	core_metric_add(x, 7);
	is_int(core_metric_new_of(m, "c/d", ORLOP_METRIC_GAUGE, "of_b", NULL, NULL, NULL, 0, &x), -EINVAL,
	       "another module has no say in it");
	is_int(core_metric_new_of(m, "a/b", ORLOP_METRIC_GAUGE, "of_b", NULL, NULL, NULL, 0, &y), 0,
	       "its next version may make it another");
	core_metric_set(y, 3);
	core_metric_add(x, 1);
	obuf_reset(&out);
	core_metrics_text(m, &out);
	ok(strstr(obuf_cstr(&out), "# TYPE of_b gauge\nof_b 3\n") && !strstr(obuf_cstr(&out), "of_b counter"),
	   "which is the one that is seen");
	obuf_done(&out);
	core_metrics_free(m);
}

int main(void)
{
	struct core_log *l;
	char *s;

	(void)core_log_new(ORLOP_LOG_INFO, &l);
	s = captured(one_line, l);
	ok(strncmp(s, "time=20", 7) == 0, "begins with the time");
	ok(strstr(s, " level=info module=a/b event=opened path=/x\\nlevel=error forged\\x1b[1m\n"),
	   "control characters cannot forge a line: %s", s);
	omem_free(s);
	s = captured(values, l);
	ok(strstr(s, " event=v1 why=\"pods \\\"x\\\" is forbidden: C:\\\\ \\\" level=error\" n=-3\n"), "a value in quotes is one: %s", s);
	ok(strstr(s, " event=v2 path=\"/with space\" other=plain=1 a=b c/d\n"), "one that needs quotes gets them");
	ok(strstr(s, " event=v3 some=\"abcd\" few=ghi 100% x=00000abc z=7 ld=-8 f=1.50 c=q p=(nil) w=   42\n"), "numbers as ever");
	ok(strstr(s, "yyyy\"\n") && !strstr(s, "lost"), "what is cut is closed");
	ok(strstr(s, "\\\"\\\"\"\n"), "and not in the middle of an escape");
	omem_free(s);
	s = captured(repeats, l);
	is_int(lines(s, "event=retry"), 1, "a line that repeats is written once");
	is_int(lines(s, "event=other"), 2, "others between do not hide it");
	ok(core_log_flush_at(l) > core_now_mono(), "its count waits");
	omem_free(s);
	s = captured(levels, l);
	is_int(lines(s, "quiet"), 0, "what is below the level is not written");
	is_int(lines(s, "loud"), 1, "a module can have its own");
	is_int(lines(s, "alarm"), 1, "errors always");
	omem_free(s);
	s = captured(end, l);
	ok(strstr(s, "event=retry repeated=99\n"), "counts are told at the end: %s", s);
	omem_free(s);
	test_metrics();
	return done_testing();
}
