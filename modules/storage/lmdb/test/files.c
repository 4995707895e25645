/* files.c - files that are not what they should be: each refused with a sentence that names it. */
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ofile.h"
#include "base/otap.h"
#include "contract/storage_ask.h"

extern const struct orlop_module orlop_module;

static bool subject_open(struct subject *s, const char *path, struct orlop_error *err)
{
	s->fh = fakehost_new();
	fakehost_real_clock(s->fh);
	fakehost_param(s->fh, "path", path);
	return fakehost_load_as(s->fh, s->mod, NULL, &s->m, err) == 0;
}

static void subject_close(struct subject *s)
{
	fakehost_free(s->fh);
	s->fh = NULL;
}

/* Nobody writes: what is on the disk is a whole database. */
static void file_copy(const char *from, const char *to)
{
	struct obuf b = OBUF_INIT;

	if (ofile_read(AT_FDCWD, from, 1u << 30, &b) || ofile_write(AT_FDCWD, to, b.data, b.len, 0600))
		abort();
	obuf_done(&b);
}

static void refused(const struct subject *of, const char *path, int want, const char *word,
		    const char *what)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct subject s = { .title = of->title, .mod = of->mod };
	bool open = subject_open(&s, path, &err);

	ok(!open && err.err == want && strstr(err.msg, word) && strstr(err.msg, path),
	   "%s: %s: %s", of->title, what, open ? "opened" : err.msg);
	subject_close(&s);
}

static void file_write(const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ofile_write_all(fd, p, len))
		abort();
	(void)close(fd);
}

static void test_files(struct subject *s, const char *dir, const char *path)
{
	struct stat st;
	char copy[300];
	char name[300];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val v = { 1, (void *)(uintptr_t)"x" };

	refused(s, path, EBUSY, "in use by process", "a second one on the same file");
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	file_copy(path, copy);
	if (stat(copy, &st) || st.st_size < 3000000 || truncate(copy, st.st_size / 3))
		abort();
	refused(s, copy, EIO, "cut off", "a file cut off");
	snprintf(name, sizeof(name), "%s/rubbish", dir);
	file_write(name, "this is no database, whatever one may think of it\n", 50);
	refused(s, name, EINVAL, "is not a database", "rubbish");
	file_write(name, "", 0);
	refused(s, name, EINVAL, "is not a database", "an empty file");
	snprintf(name, sizeof(name), "%s/foreign", dir);
	if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, 2) ||
	    mdb_env_open(env, name, MDB_NOSUBDIR, 0600) || mdb_txn_begin(env, NULL, 0, &txn) ||
	    mdb_dbi_open(txn, "theirs", MDB_CREATE, &dbi) || mdb_put(txn, dbi, &v, &v, 0) ||
	    mdb_txn_commit(txn))
		abort();
	mdb_env_close(env);
	refused(s, name, EINVAL, "is not a database of orlop", "another's database");
	snprintf(name, sizeof(name), "%s/copy/db", dir);
	refused(s, name, ENOTDIR, "cannot make the directory", "a file where a directory should be");
}

int main(void)
{
	struct subject s = { .title = "lmdb", .mod = &orlop_module };
	struct orlop_error err = ORLOP_ERROR_INIT;
	char dir[] = "/tmp/orlop-files-XXXXXX";
	char path[256];
	char key[32];
	char *value = malloc(100001);
	int i;

	if (!mkdtemp(dir) || !value)
		return 2;
	snprintf(path, sizeof(path), "%s/deep/er/db", dir);
	if (ok(subject_open(&s, path, &err), "opens (%s)", err.msg)) {
		memset(value, 'v', 100000);
		value[100000] = '\0';
		for (i = 0; i < 50; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			put(&s, key, value);
		}
		test_files(&s, dir, path);
	}
	subject_close(&s);
	(void)ofile_remove_tree(AT_FDCWD, dir);
	free(value);
	return done_testing();
}
