/*
 * check-volume.c - what each kind of volume must satisfy beyond its fields, in pods and in PersistentVolumes.
 *
 * Source: the facts of upstream's validation, k8s.io/kubernetes/pkg/apis/core/validation.
 */
#include <stdio.h>
#include <string.h>

#include "schema/check.h"

static bool starts(struct orlop_bytes t, const char *with)
{
	return ostr_starts(t.p, t.len, with);
}

static bool alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

/*
 * iqn.YYYY-MM.HOST:NAME, at the end of the text. Where one does not go on, none does that begins before there: so a text is
 * gone through once.
 */
static bool is_iqn(struct orlop_bytes t)
{
	for (size_t at = 0, step; at + 13 <= t.len; at += step) {
		const char *p = t.p + at;
		size_t n = t.len - at, host;

		step = 1;
		if (memcmp(p, "iqn.", 4) != 0 || !digits(p + 4, 4) || p[8] != '-' || !digits(p + 9, 2) || p[11] != '.')
			continue;
		for (host = 12; host < n && (alnum(p[host]) || p[host] == '-' || p[host] == '.'); host++)
			;
		step = host;
		if (host == 12 || host + 1 >= n || p[host] != ':')
			continue;
		for (host++; host < n && strchr(",;*&$| \t\n\v\f\r", p[host]) == NULL; host++)
			;
		if (host == n)
			return true;
		step = host;
	}
	return false;
}

/* PREFIX, one character, and so many letters and digits */
static bool is_number(struct orlop_bytes t, size_t n)
{
	if (t.len != n + 4)
		return false;
	for (size_t i = 4; i < t.len; i++)
		if (!alnum(t.p[i]))
			return false;
	return true;
}

static void check_initiator(struct ocheck *c, const struct opath *at, struct orlop_bytes name, bool persistent)
{
	if (starts(name, "iqn") ? is_iqn(name) : starts(name, "eui") ? is_number(name, 16) : starts(name, "naa") && is_number(name, 32))
		return;
	if (!persistent && !starts(name, "iqn") && !starts(name, "eui") && !starts(name, "naa"))
		ocheck_invalid_text(c, at, name, "must be valid format starting with iqn, eui, or naa");
	else
		ocheck_invalid_text(c, at, name, "must be valid format");
}

void ocheck_iscsi_name(struct ocheck *c, const struct opath *at, struct ojson *named, struct ojson *iscsi)
{
	if (ojson_has(iscsi, "initiatorName") && oget_text(named, "name").len + 1 + oget_text(iscsi, "targetPortal").len > 64)
		ocheck_invalid_at(c, at, named, "name", "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
				  "characters if iscsi.initiatorName is specified.");
}

OCHECK(iscsi)
{
	bool persistent = ostr_is(c->kind, strlen(c->kind), "PersistentVolume");
	struct opath ip = opath_child(at, "iqn"), np = opath_child(at, "initiatorname"), sp = opath_child(at, "secretRef");

	(void)old;
	if (!oget_empty(v, "iqn"))
		check_initiator(c, &ip, oget_text(v, "iqn"), persistent);
	if ((oget_bool(v, "chapAuthDiscovery") || oget_bool(v, "chapAuthSession")) && !ojson_has(v, "secretRef"))
		ocheck_required(c, &sp, "");
	if (persistent && ojson_has(v, "secretRef") && oget_empty(ojson_get(v, "secretRef"), "name"))
		ocheck_required_at(c, &sp, "name", "");
	if (ojson_has(v, "initiatorName"))
		check_initiator(c, &np, oget_text(v, "initiatorName"), persistent);
}

OCHECK(fc)
{
	size_t names = oget_len(v, "targetWWNs"), ids = oget_len(v, "wwids");
	int64_t lun = oget_int(v, "lun");

	(void)old;
	if (names == 0 && ids == 0)
		ocheck_required_at(c, at, "targetWWNs", "must specify either targetWWNs or wwids, but not both");
	if (names > 0 && ids > 0)
		ocheck_invalid_at(c, at, v, "targetWWNs", "targetWWNs and wwids can not be specified simultaneously");
	if (names > 0 && !ojson_has(v, "lun"))
		ocheck_required_at(c, at, "lun", "lun is required if targetWWNs is specified");
	else if (names > 0 && (lun < 0 || lun > 255))
		ocheck_invalid_at(c, at, v, "lun", "must be between 0 and 255, inclusive");
}

OCHECK(nfs)
{
	struct orlop_bytes path = oget_text(v, "path");
	struct opath p = opath_child(at, "path");

	(void)old;
	if (!starts(path, "/"))
		ocheck_invalid_text(c, &p, path, "must be an absolute path");
}

/* HOST:PORT, as upstream's language splits it: one colon, or brackets around the host's */
static bool is_host_port(const char *p, size_t n)
{
	const char *colon = memrchr(p, ':', n), *end;

	if (colon == NULL)
		return false;
	if (*p != '[')
		return memchr(p, ':', (size_t)(colon - p)) == NULL && memchr(p, '[', n) == NULL && memchr(p, ']', n) == NULL;
	end = memchr(p, ']', n);
	return end != NULL && end + 1 == colon && memchr(p + 1, '[', n - 1) == NULL &&
	       memchr(end + 1, ']', n - (size_t)(end + 1 - p)) == NULL;
}

OCHECK(quobyte)
{
	static const char pairs[] = "must be a host:port pair or multiple pairs separated by commas";
	struct orlop_bytes t = oget_text(v, "registry");

	(void)old;
	if (t.len == 0) {
		ocheck_required_at(c, at, "registry", pairs);
		return;
	}
	if (oget_text(v, "tenant").len >= 65) {
		ocheck_required_at(c, at, "tenant", "must be a UUID and may not exceed a length of 64 characters");
		return;
	}
	for (size_t i = 0, n; i <= t.len; i += n + 1) {
		const char *comma = memchr(t.p + i, ',', t.len - i);

		n = comma != NULL ? (size_t)(comma - t.p) - i : t.len - i;
		if (!is_host_port(t.p + i, n))
			ocheck_invalid_at(c, at, v, "registry", pairs);
	}
}

OCHECK(flocker)
{
	struct orlop_bytes name = oget_text(v, "datasetName");

	(void)old;
	if (name.len == 0 && oget_empty(v, "datasetUUID"))
		ocheck_required(c, at, "one of datasetName and datasetUUID is required");
	if (name.len > 0 && !oget_empty(v, "datasetUUID"))
		ocheck_invalid_text(c, at, (struct orlop_bytes){ "resource", 8 },
				    "datasetName and datasetUUID can not be specified simultaneously");
	if (name.len > 0 && memchr(name.p, '/', name.len) != NULL)
		ocheck_invalid_at(c, at, v, "datasetName", "must not contain '/'");
}

/* Options whose namespace is Kubernetes' own are not for users. */
OCHECK(flex_volume)
{
	struct opath op = opath_child(at, "options");

	(void)old;
	OJSON_FOREACH(it, ojson_get(v, "options")) {
		struct opath p = opath_key(&op, it.key);
		const char *slash = memchr(it.key, '/', it.key_len);
		char low[256];
		int n = snprintf(low, sizeof(low), ".%.*s", (int)(slash != NULL ? slash - it.key : (ptrdiff_t)it.key_len), it.key);

		for (char *q = low; *q != '\0'; q++)
			*q = (char)(*q >= 'A' && *q <= 'Z' ? *q + 32 : *q);
		if (n > 0 && (size_t)n < sizeof(low) &&
		    (ostr_ends(low, (size_t)n, ".kubernetes.io") || ostr_ends(low, (size_t)n, ".k8s.io")))
			ocheck_invalid_text(c, &p, (struct orlop_bytes){ it.key, it.key_len },
					    "kubernetes.io and k8s.io namespaces are reserved");
	}
}

OCHECK(azure_disk)
{
	static const char *const managed[] = {
		"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}" };
	static const char *const blob[] = { "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd" };
	struct opath p = opath_child(at, "diskURI");
	struct orlop_bytes uri = oget_text(v, "diskURI");
	bool is_managed = oget_is(v, "kind", "Managed");

	(void)old;
	if (ojson_has(v, "kind") && !starts(uri, is_managed ? "/subscriptions/" : "https://"))
		ocheck_not_supported(c, &p, ojson_get(v, "diskURI"), is_managed ? managed : blob, 1);
}

OCHECK(csi_volume)
{
	struct ojson *ref = ojson_get(v, "nodePublishSecretRef");
	struct opath rp = opath_child(at, "nodePublishSecretRef"), np = opath_child(at, "name"), dp = opath_child(at, "driver");

	(void)old;
	ocheck_csi_driver(c, &dp, oget_text(v, "driver"));
	if (ref != NULL && oget_empty(ref, "name"))
		ocheck_required_at(c, &rp, "name", "");
	else if (ref != NULL)	/* upstream does not say whose name it is */
		ocheck_format(c, &np, ojson_get(ref, "name"), OSCHEMA_FMT_DNS1123_SUBDOMAIN);
}

OCHECK(partition)
{
	int64_t n = oget_int(v, "partition");

	(void)old;
	if (n < 0 || n > 255)	/* 0 is unset */
		ocheck_invalid_at(c, at, v, "partition", "must be between 1 and 255, inclusive");
}

/* A secret that is named has a name; of a PersistentVolume, a namespace, too. */
OCHECK(volume_secret)
{
	struct ojson *ref = ojson_get(v, "secretRef");
	struct opath p = opath_child(at, "secretRef");

	(void)old;
	if (ref == NULL)
		return;
	if (oget_empty(ref, "name"))
		ocheck_required_at(c, &p, "name", "");
	if (ostr_is(c->kind, strlen(c->kind), "PersistentVolume") && oget_empty(ref, "namespace"))
		ocheck_required_at(c, &p, "namespace", "");
}
