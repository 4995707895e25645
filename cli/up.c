/*
 * up.c - `orlop up`: checks, then the data directory, certificates, configuration, daemon.
 */
#include "cli.h"
#include "daemon.h"
#include "proc.h"
#include "up.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

#define UNSET	INT64_C(-1)

struct up {
	const char	*dir;
	const char	*config;
	const char	*settings;
	const char	*node_name;
	const char	*node_ip;
	const char	*pod_cidr;
	const char	*service_cidr;
	const char	*cgroup_root;
	const char	*without;
	const char	*join;
	const char	*role;
	const char	*pki;
	const char	*isolate;
	const char	*log_level;
	int64_t		port;
	int64_t		kubelet_port;
	int64_t		bus_loss;
	int64_t		timeout_s;
	bool		foreground;
};

static int parse(const struct command *cmd, int argc, char **argv, struct up *u)
{
	const struct arg args[] = {
		{ "data-dir", ARG_TEXT, &u->dir, "DIR", "where everything is kept (default " ORLOP_STATE_DIR ")" },
		{ "port", ARG_NUMBER, &u->port, "N", "of the API (default 6443; 0: any that is free)" },
		{ "config", ARG_TEXT, &u->config, "FILE", "a configuration of your own: orlopd.conf(5)" },
		{ "settings", ARG_TEXT, &u->settings, "FILE", "of this machine: orlop.conf(5) (default, without --data-dir: " ORLOP_SYSCONF_DIR "/orlop.conf); none: no longer" },
		{ "foreground", ARG_FLAG, &u->foreground, NULL, "stay: for service managers" },
		{ "node-name", ARG_TEXT, &u->node_name, "NAME", "of this machine (default: its host name)" },
		{ "node-ip", ARG_TEXT, &u->node_ip, "ADDRESS", "of this machine (default: that of the default route)" },
		{ "kubelet-port", ARG_NUMBER, &u->kubelet_port, "N", "of the node's own API (default 10250; 0: any that is free)" },
		{ "pod-cidr", ARG_TEXT, &u->pod_cidr, "NET", "addresses of pods, IPv4, IPv6 or both with a comma (default: the first free 10.244.N.0/24)" },
		{ "service-cidr", ARG_TEXT, &u->service_cidr, "NET", "addresses of Services (default 10.96.0.0/16)" },
		{ "cgroup-root", ARG_TEXT, &u->cgroup_root, "NAME", "cgroup of all pods (default kubepods)" },
		{ "without", ARG_TEXT, &u->without, "LIST", "modules to leave out, comma separated; none: no longer any" },
		{ "join", ARG_TEXT, &u->join, "KUBECONFIG", "work for that API server instead of an own one; none: no longer" },
		{ "role", ARG_TEXT, &u->role, "LIST", "with --join: worker, controllers, scheduler, or modules (default worker)" },
		{ "pki", ARG_TEXT, &u->pki, "DIR", "with --join: ca.crt and ca.key there sign this node's certificate" },
		{ "isolate", ARG_TEXT, &u->isolate, "LIST", "modules to run in processes of their own, comma separated, or all; none: no longer any" },
		{ "log-level", ARG_TEXT, &u->log_level, "LEVEL", "error, warn, info or debug (default info)" },
		{ "bus-loss", ARG_NUMBER, &u->bus_loss, "PERCENT", "lose bus messages on purpose, for tests" },
		{ "timeout", ARG_NUMBER, &u->timeout_s, "SECONDS", "to wait for readiness (default 60)" },
		{ NULL, ARG_FLAG, NULL, NULL, NULL },
	};

	return args_parse(cmd, args, argc, argv);
}

/* Options over what was written down over defaults. */
static int settle(const struct up *u, struct setup *s, struct orlop_error *err)
{
	const struct { const char *from; char **to; } texts[] = {
		{ u->node_name, &s->node_name }, { u->node_ip, &s->fixed_ip }, { u->pod_cidr, &s->pod_cidr },
		{ u->service_cidr, &s->service_cidr }, { u->cgroup_root, &s->cgroup_root },
		{ u->without, &s->without }, { u->role, &s->role }, { u->isolate, &s->isolate }, { u->log_level, &s->log_level },
	};
	int r = settings_apply(s, err);
	int bad;

	if (r)
		return r;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && r == 0; i++)
		if (texts[i].from)
			r = setup_text(texts[i].to, texts[i].from);
	if (r == 0 && s->without && !strcmp(s->without, "none"))
		r = setup_text(&s->without, NULL);
	if (r == 0 && u->join) {
		cleanup_free char *full = strcmp(u->join, "none") ? realpath(u->join, NULL) : NULL;

		if (!full && strcmp(u->join, "none"))
			return orlop_fail(err, errno, 0, "", "kubeconfig %s: %s", u->join, strerrordesc_np(errno));
		r = setup_text(&s->join, full);
		if (r == 0 && !full && !u->role)
			r = setup_text(&s->role, NULL);
	}
	if (r == 0 && s->isolate && !strcmp(s->isolate, "none"))
		r = setup_text(&s->isolate, NULL);
	bad = r ? 0 : conf_check(s, err);
	if (bad)
		return bad;
	if (u->port != UNSET)
		s->port = u->port;
	if (u->kubelet_port != UNSET)
		s->kubelet_port = u->kubelet_port;
	if (u->bus_loss != UNSET)
		s->bus_loss = u->bus_loss;
	if (r == 0 && s->port == 0)
		r = port_choose(&s->port);
	if (r == 0 && s->kubelet_port == 0)
		do
			r = port_choose(&s->kubelet_port);
		while (r == 0 && s->kubelet_port == s->port);
	if (r == 0 && !s->pod_cidr) {
		r = cidr_choose(s->bridge, &s->pod_cidr);
		if (r == -EADDRNOTAVAIL)
			return orlop_fail(err, EADDRNOTAVAIL, 0, "", "no network 10.244.N.0/24 is free; choose one by --pod-cidr");
	}
	if (r == 0 && !s->fixed_ip)	/* each time: a machine may have moved */
		return node_ip_choose(s, &s->node_ip, err);
	if (r == 0)
		r = setup_text(&s->node_ip, s->fixed_ip);
	return r ? orlop_fail(err, -r, 0, "", "settings: %s", strerrordesc_np(-r)) : 0;
}

static int make(const struct setup *s, const struct place *p, const char *pki, struct orlop_error *err)
{
	static const char *const dirs[] = { "", "db", "log" };
	int made = 0;
	int r = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		cleanup_free char *path = dirs[i][0] ? setup_path(s, dirs[i]) : omem_strdup(s->dir);

		r = path ? ofile_mkdir_p(path, 0700) : -ENOMEM;
		if (r == 0 && i == 0 && chmod(path, 0700) < 0)
			r = -errno;
		if (r)
			return orlop_fail(err, -r, 0, "", "data directory %s: %s", s->dir, strerrordesc_np(-r));
	}
	r = setup_save(s, err);
	if (r == 0)
		r = s->join ? certs_join(s, pki, err) : certs_make(s, &made, err);
	if (r == 0 && !s->config)
		r = conf_write(s, p, err);
	return r;
}

static void said(const struct setup *s, pid_t pid, int64_t ms)
{
	if (s->join) {
		printf("orlopd (pid %ld) is ready after %lld ms; it works for the API server of %s\n", (long)pid, (long long)ms, s->join);
		return;
	}
	printf("orlopd (pid %ld) is ready after %lld ms; API at https://127.0.0.1:%lld\n"
	       "go on:  export KUBECONFIG=%s/admin.kubeconfig; kubectl get pods -A\n", (long)pid, (long long)ms,
	       (long long)s->port, s->dir);
}

static int run(const struct up *u, struct setup *s, const struct place *p, struct orlop_error *err)
{
	int64_t began;
	pid_t pid = 0;
	int r = settle(u, s, err);

	if (r == 0)
		r = preflight(s, p, err);
	if (r == 0)
		r = make(s, p, u->pki, err);
	if (r)
		return r;
	if (u->foreground) {
		if (!s->join)
			printf("kubeconfig: %s/admin.kubeconfig\n", s->dir);
		(void)fflush(stdout);
		return daemon_exec(s, p, err);
	}
	began = mono_ms();
	r = daemon_start(s, p, u->timeout_s, &pid, err);
	if (r == 0)
		said(s, pid, mono_ms() - began);
	return r;
}

int cmd_up(const struct command *cmd, int argc, char **argv)
{
	struct up u = { .port = UNSET, .kubelet_port = UNSET, .bus_loss = UNSET, .timeout_s = 60 };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct setup s = { .dir = NULL };
	struct place p = { .orlopd = NULL };
	int n = parse(cmd, argc, argv, &u);
	int r;

	if (n < 0)
		return ARGS_EXIT(n);
	if (geteuid() != 0) {
		cli_say("up needs root: it makes network links, cgroups and mounts; try sudo orlop up");
		return CLI_FAILED;
	}
	r = setup_open(u.dir, &s, &err);
	if (r == 0 && u.config)
		r = setup_from_config(&s, u.config, u.dir != NULL, &err);
	else if (r == 0)
		r = setup_text(&s.config, NULL);
	if (r == 0 && !u.config)
		r = settings_find(&s, u.settings, &err);
	if (r == 0)
		r = place_find(&p, &err);
	if (r == 0)
		r = run(&u, &s, &p, &err);
	place_done(&p);
	setup_done(&s);
	return r ? cli_fail(&err) : CLI_OK;
}
