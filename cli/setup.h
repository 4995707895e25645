/*
 * setup.h - what a data directory was set up with: names, networks, ports.
 *
 * Kept in DIR/setup.json, so that the next `up` finds the same ports and `down --wipe` the same
 * links and cgroups, whether or not a daemon runs. What is made outside of the data directory has
 * names of its own for each data directory but the usual one: several daemons share a machine.
 */
#ifndef CLI_SETUP_H
#define CLI_SETUP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <orlop/inline/error.h>

struct setup {
	char		*dir;		/* absolute */
	bool		usual;		/* the default data directory */
	char		*config;	/* of the user, NULL: we write DIR/orlop.conf */
	char		*settings;	/* file with more of them, NULL: none; see settings.c */
	char		*control;	/* socket */
	char		*node_name;
	char		*node_ip;	/* as it is now */
	char		*fixed_ip;	/* as somebody gave it, NULL: looked up at each start */
	char		*pod_cidr;	/* or two with a comma, one of each family */
	char		*service_cidr;
	char		*cgroup_root;
	char		*bridge;
	char		*without;	/* modules to leave out, comma separated, NULL: none */
	char		*join;		/* kubeconfig of the API server to work for, NULL: we have our own */
	char		*role;		/* with join: worker, controllers, module names; NULL: worker */
	char		*isolate;	/* modules with a process of their own, comma separated, or all; NULL: none */
	char		*log_level;
	int64_t		port;
	int64_t		kubelet_port;
	int64_t		bus_loss;	/* percent, for tests */
	bool		made;		/* setup.json was there */
};

/*
 * setup_open - the settings of @dir (NULL: the usual one): as written down, else the defaults
 *
 * Nothing is written. 0, -EINVAL with what to do (no absolute path, too long, unreadable file).
 */
int setup_open(const char *dir, struct setup *ret, struct orlop_error *err);
int setup_save(const struct setup *s, struct orlop_error *err);
void setup_done(struct setup *s);
/* Replaces a text, copied. */
int setup_text(char **to, const char *value);
/* DIR/NAME; the caller frees. */
char *setup_path(const struct setup *s, const char *name);
/* data_dir and control of a configuration file of the user, as far as they can be seen at a glance. */
int setup_from_config(struct setup *s, const char *file, bool dir_given, struct orlop_error *err);

/* ---- networks --------------------------------------------------------------------------------- */

/* "10.244.0.0/24" → network and prefix, both in host order. 0 or -EINVAL. */
int cidr_parse(const char *text, uint32_t *ret_net, uint32_t *ret_prefix);
/* A link but @own with an address that @cidr contains: its name into @link (16 bytes). 1 or 0. */
int cidr_taken(const char *cidr, const char *own, char *link);
/* "10.244.0.0/24,fd00::/64": one or both, each family once. 0 or -EINVAL. prefix 0: none of that family. */
struct nets {
	uint32_t	net4;		/* host order */
	uint32_t	prefix4;
	struct in6_addr	net6;
	uint32_t	prefix6;
};

int nets_parse(const char *list, struct nets *ret);
int nets_taken(const char *nets, const char *own, char *link);
/* The first free 10.244.N.0/24. */
int cidr_choose(const char *own, char **ret);
/* The networks of pods, as the settings name them. */
int pod_nets(const struct setup *s, struct nets *ret, struct orlop_error *err);
/* This machine's address, or the bridge's if it has none. */
int node_ip_choose(const struct setup *s, char **ret, struct orlop_error *err);

#endif
