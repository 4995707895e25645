/*
 * Settings: networks as text, what is written down and found again, names of data directories.
 */
#include "base/otap.h"

#include "setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

static void networks(void)
{
	static const char *const bad[] = { "", "10.0.0.0", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/7", "10.0.0.0/31",
					   "10.0.0.1/24", "10.0.0/24", "fd00::/64", "10.0.0.0/24 ", "256.0.0.0/8" };
	static const char *const bad_nets[] = { "", ",", "10.0.0.0/24,", "10.0.0.0/24,10.1.0.0/24", "fd00::/64,fd01::/64",
						"fd00::1/64", "fd00::/127", "fd00::", "10.0.0.0/24, fd00::/64" };
	struct nets nets;
	char link[16];
	uint32_t net;
	uint32_t prefix;

	ok(cidr_parse("10.244.3.0/24", &net, &prefix) == 0 && net == 0x0af40300 && prefix == 24, "a network");
	ok(cidr_parse("10.96.0.0/16", &net, &prefix) == 0 && net == 0x0a600000 && prefix == 16, "a wider one");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(cidr_parse(bad[i], &net, &prefix) == -EINVAL, "not a network: \"%s\"", bad[i]);
	ok(nets_parse("10.244.0.0/24,fd00:1::/64", &nets) == 0 && nets.prefix4 == 24 && nets.prefix6 == 64 &&
	   nets.net4 == 0x0af40000, "networks of both families");
	ok(nets_parse("fd00::/48", &nets) == 0 && !nets.prefix4 && nets.prefix6 == 48, "of one");
	for (size_t i = 0; i < sizeof(bad_nets) / sizeof(bad_nets[0]); i++)
		ok(nets_parse(bad_nets[i], &nets) == -EINVAL, "not networks: \"%s\"", bad_nets[i]);
	ok(nets_taken("10.99.98.0/24,::/16", "none", link) == 1 && !strcmp(link, "lo"), "lo has one of these");
	ok(cidr_taken("127.0.0.0/24", "none", link) == 1 && !strcmp(link, "lo"), "lo has this one");
	ok(cidr_taken("127.0.1.0/24", "none", link) == 1, "a part of it too");
	ok(cidr_taken("127.0.0.0/24", "lo", link) == 0, "one's own link does not count");
	ok(cidr_taken("192.0.2.0/30", "none", link) == 0 || link[0], "a network of nobody, or of somebody");
}

static void kept(const char *tmp)
{
	cleanup_free char *dir = omem_printf("%s/data", tmp);
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s;
	struct setup t;

	ok(setup_open(dir, &s, &err) == 0 && !s.made && s.port == 6443 && !s.usual, "defaults of a new directory");
	ok(!strncmp(s.bridge, "orl-", 4) && strlen(s.bridge) <= 15 && !strncmp(s.cgroup_root, "kubepods-", 9),
	   "names of its own: %s, %s", s.bridge, s.cgroup_root);
	ok(access(dir, F_OK) < 0, "nothing was made");
	s.port = 7777;
	ok(setup_text(&s.pod_cidr, "10.244.9.0/24") == 0 && setup_text(&s.without, "kubelet") == 0 &&
	   ofile_mkdir_p(dir, 0700) == 0 && setup_save(&s, &err) == 0, "written down");
	ok(setup_open(dir, &t, &err) == 0 && t.made && t.port == 7777 && !strcmp(t.pod_cidr, "10.244.9.0/24") &&
	   !strcmp(t.without, "kubelet") && !strcmp(t.bridge, s.bridge), "found again");
	setup_done(&t);
	setup_done(&s);
}

static void broken(const char *tmp)
{
	cleanup_free char *dir = omem_printf("%s/data", tmp);
	cleanup_free char *file = omem_printf("%s/setup.json", dir);
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s;

	ok(ofile_write(AT_FDCWD, file, "{\"port\":", 8, 0600) == 0 && setup_open(dir, &s, &err) == -EINVAL &&
	   strstr(err.msg, "setup.json"), "half a file is said: %s", err.msg);
	ok(s.dir && s.bridge, "its names are there all the same, for a wipe");
	setup_done(&s);
}

static void directories(const char *tmp)
{
	cleanup_free char *slashes = omem_printf("%s/x//", tmp);
	cleanup_free char *plain = omem_printf("%s/x", tmp);
	cleanup_free char *target = omem_printf("%s/target", tmp);
	cleanup_free char *link = omem_printf("%s/link", tmp);
	struct orlop_error err = ORLOP_ERROR_INIT;
	char longer[300];
	struct setup s;

	ok(setup_open(slashes, &s, &err) == 0 && !strcmp(s.dir, plain), "slashes at the end");
	setup_done(&s);
	ok(ofile_mkdir_p(target, 0700) == 0 && symlink(target, link) == 0 && setup_open(link, &s, &err) == 0 &&
	   !strcmp(s.dir, target), "one directory has one name");
	setup_done(&s);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	ok(setup_open(longer, &s, &err) == -ENAMETOOLONG, "too long for a socket: %s", err.msg);
	setup_done(&s);
	ok(setup_open("/", &s, &err) == -EINVAL, "not the root");
	setup_done(&s);
}

static void configuration(const char *tmp)
{
	cleanup_free char *file = omem_printf("%s/own.conf", tmp);
	cleanup_free char *text = omem_printf("# mine\n  data_dir = \"%s/own\";\ncontrol: \"%s/c.sock\";\n", tmp, tmp);
	cleanup_free char *own = omem_printf("%s/own", tmp);
	cleanup_free char *sock = omem_printf("%s/c.sock", tmp);
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s;

	ok(ofile_write(AT_FDCWD, file, text, strlen(text), 0600) == 0 && setup_open(NULL, &s, &err) == 0 &&
	   setup_from_config(&s, file, false, &err) == 0 && !strcmp(s.dir, own) && !strcmp(s.control, sock) &&
	   !strcmp(s.config, file), "the data directory of one's own configuration");
	setup_done(&s);
	ok(setup_open(tmp, &s, &err) == 0 && setup_from_config(&s, file, true, &err) == -EINVAL, "two that differ: %s", err.msg);
	setup_done(&s);
	ok(ofile_write(AT_FDCWD, file, "modules = ();\n", 14, 0600) == 0 && setup_open(NULL, &s, &err) == 0 &&
	   setup_from_config(&s, file, false, &err) == -EINVAL, "none: %s", err.msg);
	setup_done(&s);
}

int main(void)
{
	char tmp[] = "/tmp/orlop-cli-XXXXXX";

	if (!mkdtemp(tmp))
		return 1;
	networks();
	kept(tmp);
	broken(tmp);
	directories(tmp);
	configuration(tmp);
	(void)ofile_remove_tree(AT_FDCWD, tmp);
	return done_testing();
}
