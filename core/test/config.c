/* test/config.c - the configuration file: what it says, and how it is told what is wrong. */
#include "config.h"

#include <fcntl.h>

#include "kit.h"

static char dir[] = "/tmp/orlop-config-XXXXXX";
static char path[64];

static int read_text(const char *text, struct core_config **ret, struct orlop_error *err)
{
	*err = (struct orlop_error)ORLOP_ERROR_INIT;
	if (ofile_write(AT_FDCWD, path, text, strlen(text), 0600))
		otap_bail_out("cannot write");
	return core_config_read(path, ret, err);
}

/* @text is refused with "PATH:@line: …@says…". */
static void wrong(const char *text, int line, const char *says)
{
	struct core_config *c = NULL;
	struct orlop_error err;
	char where[128];
	int r = read_text(text, &c, &err);

	(void)snprintf(where, sizeof(where), "%s:%d: ", path, line);
	ok(r < 0 && strncmp(err.msg, where, line ? strlen(where) : 0) == 0 && strstr(err.msg, says),
	   "refused: %s", r ? err.msg : "accepted");
	if (r == 0)
		core_config_free(c);
}

static void test_all(void)
{
	struct core_config *c;
	struct orlop_error err;

	is_int(read_text("data_dir = \"/d\";\nlog_level = \"warn\";\nmodule_dir = \"/m\";\n"
			 "control = \"/c.sock\";\nloops = 3;\nstart_timeout_s = 7;\n"
			 "bus = { loss_percent = 20; duplicate_percent = 5; };\n"
			 "log_modules = ( { module = \"a/b\"; level = \"debug\"; } );\n"
			 "modules = (\n"
			 "  { module = \"storage/lmdb\"; params = { path = \"/x\"; size = 5000000000L; ro = true; }; },\n"
			 "  { module = \"apiserver\"; name = \"two\"; isolation = \"process\"; }\n);\n", &c, &err),
	       0, "a whole file %s", err.msg);
	is_str(c->data_dir, "/d", "data_dir");
	is_str(c->module_dir, "/m", "module_dir");
	is_str(c->control, "/c.sock", "control");
	is_int(c->log_level, ORLOP_LOG_WARN, "log_level");
	is_int(c->loops, 3, "loops");
	is_int(c->start_timeout_ns, 7000000000, "start_timeout_s");
	is_int(c->loss_percent, 20, "loss_percent");
	is_int(c->dup_percent, 5, "duplicate_percent");
	is_int(c->levels[0].level, ORLOP_LOG_DEBUG, "level of a module");
	is_int(c->n_modules, 2, "two modules");
	is_str(c->modules[0].module, "storage/lmdb", "the first");
	is_int(c->modules[0].line, 10, "its line");
	is_str(c->modules[0].params[0].value, "/x", "a string");
	is_str(c->modules[0].params[1].value, "5000000000", "a long number");
	is_str(c->modules[0].params[2].value, "true", "a bool");
	is_str(c->modules[1].name, "two", "a name");
	ok(c->modules[1].isolate && !c->modules[0].isolate, "a process of its own, by one word");
	core_config_free(c);
	is_int(read_text("data_dir = \"/d\";\n", &c, &err), 0, "the least");
	is_str(c->control, "/d/orlop.sock", "the control socket is in the data directory");
	core_config_free(c);
	core_config_free(NULL);
}

static void test_wrong(void)
{
	struct core_config *c = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct obuf b = OBUF_INIT;

	wrong("data_dir = ;\n", 1, "syntax error");
	wrong("loops = 1;\n", 0, "data_dir is missing");
	wrong("data_dir = \"d\";\n", 0, "is not an absolute path");
	wrong("data_dir = \"/d\";\ndata_dirr = 1;\n", 2, "data_dirr: unknown setting; known: ");
	wrong("data_dir = 5;\n", 1, "data_dir: want a string in quotes, not a number");
	wrong("data_dir = \"/d\";\n\nlog_level = \"loud\";\n", 3, "log_level: want \"error\", \"warn\"");
	wrong("data_dir = \"/d\";\nloops = -1;\n", 2, "loops: -1 is out of range, want 0 to 256");
	wrong("data_dir = \"/d\";\nbus = { loss = 5; };\n", 2, "unknown setting of bus");
	wrong("data_dir = \"/d\";\nmodules = \"storage\";\n", 2, "modules: want a list");
	wrong("data_dir = \"/d\";\nmodules = ( \"storage\" );\n", 2, "an entry of modules is a group");
	wrong("data_dir = \"/d\";\nmodules = (\n{ name = \"x\"; } );\n", 3, "needs module = ");
	wrong("data_dir = \"/d\";\nmodules = (\n{ module = \"x\"; parms = { }; } );\n", 3, "unknown setting of a module");
	wrong("data_dir = \"/d\";\nmodules = (\n{ module = \"x\";\n params = { a = ( 1 ); }; } );\n", 4,
	      "a: a parameter is a string, a number or true/false, not a list");
	wrong("data_dir = \"/d\";\nmodules = (\n{ module = \"x\";\n isolation = \"proces\"; } );\n", 4,
	      "isolation: want \"none\" (in the daemon's process) or \"process\" (in one of its own)");
	is_int(core_config_read("/nonexistent/orlopd.conf", &c, &err), -ENOENT, "no file");
	ok(strstr(err.msg, "no configuration file /nonexistent/orlopd.conf: `orlop up` writes one"),
	   "says what to do: %s", err.msg);
	is_int(core_config_read("/tmp", &c, &err), -EISDIR, "a directory: %s", err.msg);
	obuf_append(&b, "data_dir\0= \"/d\";", 16);
	(void)ofile_write(AT_FDCWD, path, b.data, b.len, 0600);
	is_int(core_config_read(path, &c, &err), -EINVAL, "a NUL byte: %s", err.msg);
	obuf_reset(&b);
	for (int i = 0; i < 5 << 20; i++)
		obuf_putc(&b, '#');
	(void)ofile_write(AT_FDCWD, path, b.data, b.len, 0600);
	is_int(core_config_read(path, &c, &err), -EFBIG, "five megabytes: %s", err.msg);
	obuf_done(&b);
}

/* A list, and what somebody wants otherwise in a file of their own. */
static void test_change(void)
{
	static const char more[] = "up = { port = 1; };\nchange = (\n { module = \"a\";\n   params = { p = 2; q = \"x\"; }; },\n"
				   " { module = \"b\"; off = true; },\n { name = \"c2\"; module = \"c\"; isolation = \"process\"; },\n"
				   " { module = \"none\"; off = true; },\n { module = \"d\"; params = { r = true; }; } );\n";
	struct core_config *c = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;
	char other[sizeof(dir) + 16];
	char text[512];

	(void)snprintf(other, sizeof(other), "%s/more.conf", dir);
	(void)ofile_write(AT_FDCWD, other, more, sizeof(more) - 1, 0600);
	(void)snprintf(text, sizeof(text), "data_dir = \"/d\";\nmodules = ( { module = \"a\"; params = { o = 0; p = 1; }; }, { module = \"b\"; },"
		       " { module = \"c\"; name = \"c2\"; params = { s = 1; }; } );\n@include \"%s\"\n", other);
	is_int(read_text(text, &c, &err), 0, "a list and changes to it: %s", err.msg);
	if (!c)
		return;
	is_int(c->n_modules, 3, "one module less, one more");
	is_str(c->modules[0].module, "a", "the first");
	is_int(c->modules[0].n_params, 3, "a parameter more");
	is_str(c->modules[0].params[0].value, "0", "one stays");
	is_str(c->modules[0].params[1].value, "2", "one is changed");
	is_str(c->modules[0].params[1].file, other, "in that file");
	is_int(c->modules[0].params[1].line, 4, "in that line");
	ok(c->modules[1].isolate && c->modules[1].n_params == 1, "a word changes nothing else");
	is_str(c->modules[2].module, "d", "the new one");
	core_config_free(c);
	(void)ofile_write(AT_FDCWD, other, "change = (\n{ module = \"a\"; of = true; } );\n", 41, 0600);
	is_int(read_text(text, &c, &err), -EINVAL, "a mistake in it");
	ok(strstr(err.msg, "more.conf:2: of: unknown setting of a module; known: module, name, params, isolation, off"), "is told with its file: %s",
	   err.msg);
	(void)ofile_write(AT_FDCWD, other, "change = ( ;\n)\n", 15, 0600);
	is_int(read_text(text, &c, &err), -EINVAL, "a syntax error");
	ok(strstr(err.msg, "more.conf:"), "too: %s", err.msg);
	(void)unlink(other);
	is_int(read_text(text, &c, &err), -EINVAL, "a file that is not there: %s", err.msg);
	is_int(read_text("data_dir = \"/d\"; modules = ( { module = \"x\"; off = true; } );\n", &c, &err), -EINVAL, "off is for changes");
}

int main(void)
{
	if (!mkdtemp(dir))
		otap_bail_out("no directory");
	(void)snprintf(path, sizeof(path), "%s/orlopd.conf", dir);
	test_all();
	test_wrong();
	test_change();
	(void)ofile_remove_tree(AT_FDCWD, dir);
	return done_testing();
}
