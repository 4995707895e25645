/*
 * errors.c - schemac names file and line of what is wrong, and writes nothing then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/otap.h"

static char dir[] = "/tmp/schemac-test-XXXXXX";
static char command[4096];

/* Runs schemac on @text as "t.schema"; its first line of output without the directory, and its status. */
static int run(const char *text, char *out, size_t out_size)
{
	const char *build = getenv("builddir");
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/t.schema", dir);
	f = fopen(path, "w");
	if (f == NULL)
		otap_bail_out("cannot write a schema file");
	(void)fputs(text, f);
	(void)fclose(f);
	(void)snprintf(command, sizeof(command), "cd '%s' && '%s/tools/bin/schemac' -o out.c t.schema 2>&1", dir,
		       build != NULL ? build : ".");
	f = popen(command, "r");
	if (f == NULL)
		otap_bail_out("cannot run schemac");
	out[0] = '\0';
	if (fgets(out, (int)out_size, f) != NULL)
		out[strcspn(out, "\n")] = '\0';
	return pclose(f);
}

static void refuses(const char *text, const char *want)
{
	char out[512], path[64];
	int status = run(text, out, sizeof(out));

	is_str(out, want, "%s", want);
	(void)snprintf(path, sizeof(path), "%s/out.c", dir);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 1 && access(path, F_OK) != 0, "status 1, nothing written");
}

#define GROUP "group g v1 package=g/v1 openapi=io.g.v1 priority=1\n"

int main(void)
{
	char out[512], path[64];

	if (mkdtemp(dir) == NULL)
		otap_bail_out("mkdtemp");
	refuses("struct A\n", "t.schema:1: the file must begin with a group line");
	refuses(GROUP GROUP, "t.schema:2: a file describes one group");
	refuses(GROUP "foo\n", "t.schema:2: unknown line \"foo\": want group, struct, object or resource");
	refuses(GROUP "struct A\n\t@1 a int33\n", "t.schema:3: no type is called \"int33\"");
	refuses(GROUP "struct A\n\t@1 a string bogus\n", "t.schema:3: unknown word \"bogus\"");
	refuses(GROUP "struct A\n\t@1 a string\n\t@1 b string\n", "t.schema:4: protobuf number 1 is already \"a\"");
	refuses(GROUP "struct A\n\t@1 a string\n\t@2 a string\n", "t.schema:4: field \"a\" appears twice in g/v1.A");
	refuses(GROUP "struct A\n\t@1 a string\nstruct A\n\t@1 a string\n",
		"t.schema:4: g/v1.A is already described at t.schema:2");
	refuses(GROUP "struct A\n\t@1 a []A patch=merge(b)\n",
		"t.schema:3: merge key \"b\" is no field of the list's elements");
	refuses(GROUP "struct A\n\t@1 a []string notnull\n", "t.schema:3: notnull is for lists that are always written ([]TYPE!)");
	refuses(GROUP "struct A\n\t@1 a string! notnull\n", "t.schema:3: notnull is for lists that are always written ([]TYPE!)");
	refuses(GROUP "struct A\n\t@1 a []A list=map(b)\n", "t.schema:3: map key \"b\" is no field of the list's elements");
	refuses(GROUP "struct A\n\t@1 a string default=x\n", "t.schema:3: the default of a string is written in quotes");
	refuses(GROUP "struct A\n\t@1 a int32 min=x\n", "t.schema:3: \"x\" is not a number");
	refuses(GROUP "struct A\n\t@1 a string format=x\n", "t.schema:3: no format is called \"x\"");
	refuses(GROUP "struct A check=x\n", "t.schema:2: no check is called \"x\"");
	refuses(GROUP "struct A\n\t@1 a string required=\"x\n", "t.schema:3: quote is not closed");
	refuses(GROUP "struct A\n\t+1 A\n", "t.schema:2: g/v1.A embeds itself");
	refuses(GROUP "struct A\n\t@1 a string\nstruct B\n\t+1 A\nstruct C\n\t+2 B\nstruct D\n\t+3 C\n",
		"t.schema:9: an embedded struct has a number up to 15, and embeds one level more at most");
	refuses(GROUP "struct A\n\t@1 a string\nstruct B\n\t+16 A\n",
		"t.schema:5: an embedded struct has a number up to 15, and embeds one level more at most");
	refuses(GROUP "\t@1 a string\n", "t.schema:2: an indented line belongs to no struct and no resource");
	refuses(GROUP "resource as A\n\tname a\n\tverbs create\n", "t.schema:2: no type is called \"g/v1.A\"");
	refuses(GROUP "object A\n\t@1 a string\nresource as A\n\tverbs create\n",
		"t.schema:4: the resource has no name line");
	refuses(GROUP "object A\n\t@1 a string\nresource as A\n\tname a\n\tverbs creat\n", "t.schema:6: unknown verb \"creat\"");
	is_int(run(GROUP "# a comment\nobject A atomic -- A thing.\n\t@1 a string! req -- Its \"a\".\n"
		   "resource as A\n\tname a\n\tverbs create\n", out, sizeof(out)), 0, "a sound file is compiled");
	is_str(out, "", "without a word");
	(void)snprintf(command, sizeof(command), "%s/t.schema", dir);
	(void)unlink(command);
	(void)snprintf(path, sizeof(path), "%s/out.c", dir);
	is_int(unlink(path), 0, "there is a C file");
	(void)rmdir(dir);
	return done_testing();
}
