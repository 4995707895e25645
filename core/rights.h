/*
 * rights.h - what an isolated module may do to the machine: what its modinfo declares, and no more.
 *
 *	caps=NAME[,NAME…] | *		capabilities it keeps ("net_admin"); default: none
 *	files=PATH[:rw][,…] | *		files and directories it sees besides libraries; read-only
 *					without :rw. "$NAME" is the value that the configuration gives to
 *					this parameter, "$NAME=PATH" with what to take if it gives none;
 *					"/.." at the end: the directory it stands in
 *	net=none|WORD[,WORD…] | *	sockets it may make: unix, inet, netlink, packet; default: none
 *	exec=yes|no			may start programs; default: no. With yes no system-call filter and
 *					no limits are set, because its programs would inherit them
 *	uid=N|keep			unix user; default: nobody, or keep if it declares caps= or files=
 *	memory=N[K|M|G]			most private memory; default: 8G
 *
 * In one process none of this holds: there a declaration is a promise. In a process of its own
 * (isolate.h) it is enforced: Landlock for files and signals, capabilities, a system-call filter.
 */
#ifndef CORE_RIGHTS_H
#define CORE_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include <orlop/types.h>

#define CORE_NET_UNIX		0x01u
#define CORE_NET_INET		0x02u
#define CORE_NET_NETLINK	0x04u
#define CORE_NET_PACKET		0x08u
#define CORE_NET_ALL		0x80u

#define CORE_RIGHTS_FILES_MAX	32u
#define CORE_RIGHTS_UID_KEEP	UINT32_MAX
#define CORE_RIGHTS_NOBODY	65534u

struct core_rights_file {
	const char	*p;		/* into the text that was parsed */
	uint32_t	len;
	bool		write;
};

struct core_rights {
	uint64_t	caps;		/* bit n: capability n */
	bool		all_caps;
	bool		all_files;
	bool		exec;
	uint32_t	net;		/* CORE_NET_* */
	uint32_t	uid;		/* CORE_RIGHTS_UID_KEEP */
	uint64_t	memory_bytes;
	uint32_t	n_files;
	struct core_rights_file files[CORE_RIGHTS_FILES_MAX];
};

/* The values of the keys as they stand in the modinfo; NULL: not there. */
struct core_rights_text {
	const char	*caps;
	const char	*files;
	const char	*net;
	const char	*exec;
	const char	*uid;
	const char	*memory;
};

/* @ret points into @t's strings. 0, or -EINVAL with a line that names key and word. */
int core_rights_parse(const struct core_rights_text *t, struct core_rights *ret, struct orlop_error *err);
/* For people: "caps=net_admin files=/etc/x net=unix exec=no uid=65534". @size ≥ 64. */
void core_rights_print(const struct core_rights *r, char *buf, size_t size);
/* Name of a capability, lower case without "cap_", NULL if there is none of the number. */
const char *core_rights_cap_name(uint32_t n);

/*
 * Nobody in particular becomes the user "orlop", where there is one (sysusers.d): nobody is also who other
 * daemons are, and processes of one user may trace each other. Reads /etc/passwd.
 */
void core_rights_user(struct core_rights *r);

/*
 * core_rights_enter - first half, before there are threads: limits, files, capabilities
 *
 * @param gives the value of a module's parameter, NULL if it has none of the name; @extra are
 * paths it may read besides (its own file), NULL-terminated; @data what it may write besides, NULL:
 * nothing. @ret_weak says in words what this machine could not enforce, NULL: all is enforced.
 */
struct core_rights_world {
	const char	*(*param)(void *arg, const char *name, uint32_t len);
	void		*arg;
	const char	*const *extra;
};
int core_rights_enter(const struct core_rights *r, const struct core_rights_world *w,
		      const char **ret_weak, struct orlop_error *err);

/*
 * core_rights_leave - second half, when the core's own sockets are connected and before the module's
 * code runs: user, system calls. All threads.
 */
int core_rights_leave(const struct core_rights *r, struct orlop_error *err);

/* rights_seccomp.c: the filter, for all threads of the process. 0, -ENOSYS (no such kernel), -errno. */
int core_rights_filter(const struct core_rights *r);

#endif
