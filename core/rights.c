/*
 * rights.c - the words of a module's rights: reading and printing them. Pure.
 */
#include "rights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#define MEMORY_DEFAULT	(UINT64_C(8) << 30)

/* linux/capability.h, in its order. */
static const char *const cap_names[] = {
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock",
	"ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin",
	"sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
	"audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm",
	"block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
};

const char *core_rights_cap_name(uint32_t n)
{
	return n < sizeof(cap_names) / sizeof(cap_names[0]) ? cap_names[n] : NULL;
}

static bool word_is(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(p, word, n) == 0;
}

static int bad(struct orlop_error *err, const char *key, const char *p, size_t n, const char *want)
{
	return orlop_fail(err, EINVAL, 0, "", "%s= has \"%.*s\", want %s", key, (int)(n > 60 ? 60 : n), p, want);
}

/* The next of a list's words; false at its end. */
static bool next_word(const char **at, const char **ret, size_t *ret_len)
{
	if (!*at)
		return false;
	*ret = *at;
	*ret_len = strcspn(*at, ",");
	*at = (*at)[*ret_len] ? *at + *ret_len + 1 : NULL;
	return true;
}

static int read_caps(const char *at, struct core_rights *r, struct orlop_error *err)
{
	const char *p;
	size_t n;

	while (next_word(&at, &p, &n)) {
		uint32_t i;

		if (n == 0)
			continue;
		if (word_is(p, n, "*")) {
			r->all_caps = true;
			continue;
		}
		for (i = 0; core_rights_cap_name(i); i++)
			if (word_is(p, n, core_rights_cap_name(i)))
				break;
		if (!core_rights_cap_name(i))
			return bad(err, "caps", p, n, "a capability's name in lower case without cap_, or *");
		r->caps |= UINT64_C(1) << i;
	}
	return 0;
}

static int read_files(const char *at, struct core_rights *r, struct orlop_error *err)
{
	const char *p;
	size_t n;

	while (next_word(&at, &p, &n)) {
		struct core_rights_file *f = &r->files[r->n_files];

		if (n == 0)
			continue;
		if (word_is(p, n, "*")) {
			r->all_files = true;
			continue;
		}
		if (r->n_files == CORE_RIGHTS_FILES_MAX)
			return orlop_fail(err, EINVAL, 0, "", "files= has more than %u entries",
					  CORE_RIGHTS_FILES_MAX);
		f->p = p;
		f->write = false;
		f->len = (uint32_t)n;
		if (n > 3 && memcmp(p + n - 3, ":rw", 3) == 0) {
			f->write = true;
			f->len -= 3;
		}
		if ((p[0] != '/' && p[0] != '$') || f->len < 2 || f->len > 3000)
			return bad(err, "files", p, n, "an absolute path or $PARAMETER, with :rw at the end to write");
		r->n_files++;
	}
	return 0;
}

static int read_net(const char *at, struct core_rights *r, struct orlop_error *err)
{
	static const struct {
		const char	*word;
		uint32_t	bit;
	} words[] = {
		{ "none", 0 }, { "", 0 }, { "unix", CORE_NET_UNIX }, { "inet", CORE_NET_UNIX | CORE_NET_INET },
		{ "netlink", CORE_NET_NETLINK }, { "packet", CORE_NET_PACKET }, { "*", CORE_NET_ALL },
	};
	const char *p;
	size_t n;

	while (next_word(&at, &p, &n)) {
		size_t i;

		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (word_is(p, n, words[i].word))
				break;
		if (i == sizeof(words) / sizeof(words[0]))
			return bad(err, "net", p, n, "none, unix, inet, netlink, packet or *");
		r->net |= words[i].bit;
	}
	return 0;
}

static int read_number(const char *key, const char *p, uint64_t max, bool units, uint64_t *ret,
		       struct orlop_error *err)
{
	const char *want = units ? "a number of bytes, with K, M or G" : "a number or keep";
	unsigned shift = 0;
	uint64_t v = 0;
	const char *q = p;

	for (; *q >= '0' && *q <= '9'; q++) {
		v = v * 10 + (uint64_t)(*q - '0');
		if (v > max)
			return bad(err, key, p, strlen(p), want);
	}
	if (q > p && units && *q && strchr("KMG", *q))
		shift = *q == 'K' ? 10 : *q == 'M' ? 20 : 30, q++;
	if (q == p || *q || v > max >> shift)
		return bad(err, key, p, strlen(p), want);
	*ret = v << shift;
	return 0;
}

int core_rights_parse(const struct core_rights_text *t, struct core_rights *ret, struct orlop_error *err)
{
	struct core_rights r = { .memory_bytes = MEMORY_DEFAULT };
	uint64_t v;
	int e;

	e = read_caps(t->caps, &r, err);
	if (e == 0)
		e = read_files(t->files, &r, err);
	if (e == 0)
		e = read_net(t->net, &r, err);
	if (e)
		return e;
	if (t->exec && strcmp(t->exec, "yes") == 0)
		r.exec = true;
	else if (t->exec && strcmp(t->exec, "no") != 0)
		return bad(err, "exec", t->exec, strlen(t->exec), "yes or no");
	r.uid = t->caps || t->files || r.exec ? CORE_RIGHTS_UID_KEEP : CORE_RIGHTS_NOBODY;
	if (t->uid && strcmp(t->uid, "keep") == 0) {
		r.uid = CORE_RIGHTS_UID_KEEP;
	} else if (t->uid) {
		e = read_number("uid", t->uid, UINT32_MAX - 1, false, &v, err);
		if (e)
			return e;
		r.uid = (uint32_t)v;
	}
	if (r.uid != CORE_RIGHTS_UID_KEEP && (r.caps || r.all_caps))
		return orlop_fail(err, EINVAL, 0, "", "uid= and caps= exclude each other: another user has none");
	if (t->memory) {
		e = read_number("memory", t->memory, UINT64_C(1) << 46, true, &r.memory_bytes, err);
		if (e)
			return e;
	}
	*ret = r;
	return 0;
}

void core_rights_print(const struct core_rights *r, char *buf, size_t size)
{
	size_t at = 0;
	bool any = r->all_caps;

#define ADD(...) (at += (size_t)snprintf(buf + at, size - at, __VA_ARGS__), at = at < size ? at : size - 1)
	ADD("caps=%s", r->all_caps ? "*" : "");
	for (uint32_t i = 0; !r->all_caps && core_rights_cap_name(i); i++)
		if (r->caps >> i & 1) {
			ADD("%s%s", any ? "," : "", core_rights_cap_name(i));
			any = true;
		}
	ADD("%s files=%s", any ? "" : "none", r->all_files ? "*" : r->n_files ? "" : "none");
	for (uint32_t i = 0; !r->all_files && i < r->n_files; i++)
		ADD("%s%.*s%s", i ? "," : "", (int)r->files[i].len, r->files[i].p, r->files[i].write ? ":rw" : "");
	ADD(" net=%s", r->net & CORE_NET_ALL ? "*" : r->net ? "" : "none");
	if (!(r->net & CORE_NET_ALL))
		ADD("%s%s%s", r->net & CORE_NET_INET ? "inet" : r->net & CORE_NET_UNIX ? "unix" : "",
		    r->net & CORE_NET_NETLINK ? ",netlink" : "", r->net & CORE_NET_PACKET ? ",packet" : "");
	ADD(" exec=%s", r->exec ? "yes" : "no");
	if (r->uid != CORE_RIGHTS_UID_KEEP)
		ADD(" uid=%u", r->uid);
#undef ADD
}
