/* machine.c - what this machine is: read once, on a worker. */
#include "kubelet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/ofile.h"
#include "netlink/onl.h"

/* The file's first word, "" if it cannot be read. */
static void word_of(const char *path, char *out, size_t size)
{
	struct obuf b = OBUF_INIT;
	size_t n;

	*out = '\0';
	if (!ofile_read(AT_FDCWD, path, 4096, &b) && b.len) {
		n = strcspn(b.data, " \t\r\n");
		snprintf(out, size, "%.*s", (int)n, b.data);
	}
	obuf_done(&b);
}

static void os_image(char *out, size_t size)
{
	struct obuf b = OBUF_INIT;
	const char *p;
	size_t n;

	snprintf(out, size, "Linux");
	if (!ofile_read(AT_FDCWD, "/etc/os-release", 65536, &b) && (p = strstr(obuf_cstr(&b), "PRETTY_NAME="))) {
		p += 12;
		if (*p == '"')
			p++;
		n = strcspn(p, "\"\n");
		snprintf(out, size, "%.*s", (int)n, p);
	}
	obuf_done(&b);
}

static int64_t kb_of(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? (int64_t)strtoll(p + strlen(key), NULL, 10) * 1024 : 0;
}

static void address(struct machine *m)
{
	struct in_addr a;
	struct onl *nl;

	snprintf(m->node_ip, sizeof(m->node_ip), "127.0.0.1");
	if (onl_open(ONL_ROUTE, &nl))
		return;
	if (!onl_addr4_node(nl, &a))
		inet_ntop(AF_INET, &a, m->node_ip, sizeof(m->node_ip));
	onl_close(nl);
}

void machine_read(const char *root, const char *node_ip, struct machine *m)
{
	struct obuf b = OBUF_INIT;
	struct statvfs fs;
	struct utsname u;

	memset(m, 0, sizeof(*m));
	word_of("/etc/machine-id", m->machine_id, sizeof(m->machine_id));
	word_of("/sys/class/dmi/id/product_uuid", m->system_uuid, sizeof(m->system_uuid));
	if (!*m->system_uuid)
		snprintf(m->system_uuid, sizeof(m->system_uuid), "%s", m->machine_id);
	word_of("/proc/sys/kernel/random/boot_id", m->boot_id, sizeof(m->boot_id));
	os_image(m->os_image, sizeof(m->os_image));
	snprintf(m->arch, sizeof(m->arch), "unknown");
	if (!uname(&u)) {
		snprintf(m->kernel, sizeof(m->kernel), "%s", u.release);
		snprintf(m->hostname, sizeof(m->hostname), "%s", u.nodename);
		/* as Go names them */
		snprintf(m->arch, sizeof(m->arch), "%.15s",
			 !strcmp(u.machine, "x86_64") ? "amd64" : !strcmp(u.machine, "aarch64") ? "arm64"
			 : !strncmp(u.machine, "armv", 4) ? "arm" : u.machine[0] == 'i' && !strcmp(u.machine + 2, "86")
			 ? "386" : u.machine);
	}
	m->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (!ofile_read(AT_FDCWD, "/proc/meminfo", 65536, &b)) {
		m->memory = kb_of(obuf_cstr(&b), "MemTotal:");
		m->swap = kb_of(obuf_cstr(&b), "SwapTotal:");
	}
	obuf_done(&b);
	if (!statvfs(root, &fs))
		m->storage = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
	if (node_ip && *node_ip)
		snprintf(m->node_ip, sizeof(m->node_ip), "%s", node_ip);
	else
		address(m);
}
