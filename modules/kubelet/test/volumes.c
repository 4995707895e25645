/* volumes.c - what containers find mounted: files of ConfigMaps, Secrets and the pod itself, tokens. */
#include "kit.h"

#include "base/otime.h"

#include <sys/stat.h>

static char last_error[200];

/* Content of ROOT/pods/UID/volumes/PLUGIN/VOL/FILE; valid until the next call. */
static const char *volume_file(const char *uid, const char *plugin, const char *vol, const char *file)
{
	static struct obuf b;
	char path[500];

	obuf_done(&b);
	obuf_init(&b);
	snprintf(path, sizeof(path), "%s/root/pods/%s/volumes/kubernetes.io~%s/%s/%s", kit.dir, uid, plugin, vol, file);
	if (ofile_read(AT_FDCWD, path, 65536, &b))
		return "(no file)";
	return obuf_cstr(&b);
}

static const char pod[] =
	"{\"metadata\":{\"uid\":\"u1\",\"labels\":{\"a\":\"1\",\"b\":\"x y\"},\"annotations\":{\"n\":\"v\"}},\"spec\":{\"nodeName\":\"n1\","
	"\"serviceAccountName\":\"sa\",\"volumes\":["
	"{\"name\":\"cm\",\"configMap\":{\"name\":\"c1\"}},"
	"{\"name\":\"some\",\"configMap\":{\"name\":\"c1\",\"items\":[{\"key\":\"k1\",\"path\":\"d/one\",\"mode\":256}]}},"
	"{\"name\":\"sec\",\"secret\":{\"secretName\":\"s1\",\"defaultMode\":384}},"
	"{\"name\":\"opt\",\"secret\":{\"secretName\":\"none\",\"optional\":true}},"
	"{\"name\":\"down\",\"downwardAPI\":{\"items\":[{\"path\":\"labels\",\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}}]}},"
	"{\"name\":\"proj\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"path\":\"token\",\"expirationSeconds\":3607}},"
	"{\"configMap\":{\"name\":\"c1\",\"items\":[{\"key\":\"k1\",\"path\":\"k\"}]}},"
	"{\"downwardAPI\":{\"items\":[{\"path\":\"ns\",\"fieldRef\":{\"fieldPath\":\"metadata.namespace\"}}]}}]}},"
	"{\"name\":\"art\",\"image\":{\"reference\":\"tools:1\",\"pullPolicy\":\"Always\"}},"
	"{\"name\":\"tmp\",\"emptyDir\":{}}],"
	"\"containers\":[{\"name\":\"web\",\"image\":\"i\",\"command\":[\"run\",\"$(POD)\",\"$$(POD)\",\"$(NO)\"],"
	"\"env\":[{\"name\":\"POD\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}},"
	"{\"name\":\"K\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"c1\",\"key\":\"k1\"}}},"
	"{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s1\",\"key\":\"p\"}}},"
	"{\"name\":\"BOTH\",\"value\":\"$(POD)-$(K)\"}],\"envFrom\":[{\"prefix\":\"E_\",\"configMapRef\":{\"name\":\"c1\"}}],"
	"\"volumeMounts\":[{\"name\":\"cm\",\"mountPath\":\"/cm\",\"readOnly\":true},{\"name\":\"tmp\",\"mountPath\":\"/tmp\"},"
	"{\"name\":\"art\",\"mountPath\":\"/art\",\"subPath\":\"bin\"}],"
	"\"resources\":{\"requests\":{\"cpu\":\"250m\",\"memory\":\"64Mi\"},\"limits\":{\"cpu\":\"500m\",\"memory\":\"128Mi\"}},"
	"\"securityContext\":{\"runAsUser\":7,\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,"
	"\"capabilities\":{\"drop\":[\"ALL\"]}}}]}}";

static int n_tokens;

static int api_hook(void *arg, const struct orlop_req *req, struct orlop_call *call)
{
	const struct orlop_host *h = fakehost_host(kit.fh);
	struct orlop_bytes sub = orlop_msg_bytes(h, &req->msg, ORLOP_API_T_SUBRESOURCE);
	struct orlop_bytes body = orlop_msg_bytes(h, &req->msg, ORLOP_API_T_BODY);
	struct orlop_msgw w;
	struct orlop_msg m;
	char text[300];
	char when[40];

	(void)arg;
	if (sub.len != 5 || memcmp(sub.p, "token", 5))
		return 0;
	snprintf(last_error, sizeof(last_error), "%.*s", (int)(body.len < 190 ? body.len : 190), body.p);
	otime_format((int64_t)h->now_wall(h) + 3600 * OTIME_SECOND, when);
	snprintf(text, sizeof(text), "{\"status\":{\"token\":\"t%d\",\"expirationTimestamp\":\"%s\"}}", ++n_tokens, when);
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, ORLOP_API_T_CODE, 201);
	orlop_msgw_str(&w, ORLOP_API_T_BODY, text);
	m = orlop_msgw_msg(&w);
	fakehost_reply(call, 0, &m);
	orlop_msgw_done(&w);
	return 1;
}

static const char *env_of(const char *key)
{
	static char out[200];
	struct kit_ctr *c = kit_ctr("web");

	snprintf(out, sizeof(out), "(none)");
	OJSON_FOREACH_ELEM(i, e, ojson_get(c->config, "envs")) {
		if (ojson_string_is(ojson_get(e, "key"), key))
			snprintf(out, sizeof(out), "%s", ojson_get_cstr(e, "value", ""));
	}
	return out;
}

static void test_config(void)
{
	struct kit_ctr *c = kit_ctr("web");
	const struct ojson *res = OJSON_AT(c->config, "linux", "resources");
	const struct ojson *sc = OJSON_AT(c->config, "linux", "securityContext");
	const struct ojson *cmd = ojson_get(c->config, "command");

	is_str(ojson_cstr(ojson_index(cmd, 1), ""), "web", "$(VAR) in a command");
	is_str(ojson_cstr(ojson_index(cmd, 2), ""), "$(POD)", "$$ escapes");
	is_str(ojson_cstr(ojson_index(cmd, 3), ""), "$(NO)", "an unknown one stays");
	is_str(env_of("POD"), "web", "fieldRef");
	is_str(env_of("K"), "v1", "configMapKeyRef");
	is_str(env_of("S"), "secret", "secretKeyRef");
	is_str(env_of("BOTH"), "web-v1", "values refer to earlier ones");
	is_str(env_of("E_k2"), "w", "envFrom with prefix");
	is_str(env_of("KUBERNETES_SERVICE_HOST"), "192.0.2.9", "the API where it is reached");
	is_str(env_of("KUBERNETES_SERVICE_PORT"), "6443", "and its port");
	is_str(env_of("MY_DB_SERVICE_HOST"), "10.96.0.7", "services of the namespace");
	is_str(env_of("MY_DB_PORT_5432_TCP"), "tcp://10.96.0.7:5432", "in the old form too");
	is_int(ojson_get_i64(res, "cpuShares", 0), 256, "cpu shares");
	is_int(ojson_get_i64(res, "cpuQuota", 0), 50000, "cpu quota");
	is_int(ojson_get_i64(res, "memoryLimitInBytes", 0), 128 << 20, "memory limit");
	ok(ojson_get_i64(res, "oomScoreAdj", 0) > 2 && ojson_get_i64(res, "oomScoreAdj", 0) < 1000, "oom score: burstable");
	is_int(ojson_i64(OJSON_AT(sc, "runAsUser", "value"), 0), 7, "runAsUser");
	ok(ojson_get_bool(sc, "noNewPrivs", false), "no new privileges");
	ok(ojson_get_bool(sc, "readonlyRootfs", false), "read-only root");
	is_str(ojson_cstr(ojson_index(OJSON_AT(sc, "capabilities", "dropCapabilities"), 0), ""), "ALL", "capabilities");
	is_str(ojson_cstr(OJSON_AT(kit.s[0].config, "linux", "cgroupParent"), ""), "/kubepods/burstable/podu1", "cgroup");
	ok(ojson_get_bool(ojson_index(ojson_get(c->config, "mounts"), 0), "readonly", false), "configMap mounts are read-only");
	ok(!ojson_get_bool(ojson_index(ojson_get(c->config, "mounts"), 1), "readonly", true), "emptyDir mounts are not");
}

int main(void)
{
	struct stat st;
	char path[300];
	char before[64];
	ssize_t n;

	kit_begin();
	fakehost_api_hook(kit.fh, api_hook, NULL);
	fakehost_put(kit.fh, "secrets", "default", "s1", "{\"data\":{\"p\":\"c2VjcmV0\"}}");
	fakehost_put(kit.fh, "services", "default", "kubernetes", "{\"spec\":{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":443}]}}");
	fakehost_put(kit.fh, "services", "default", "my-db", "{\"spec\":{\"clusterIP\":\"10.96.0.7\",\"ports\":[{\"port\":5432}]}}");
	fakehost_put(kit.fh, "endpoints", "default", "kubernetes",
		     "{\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.9\"}],\"ports\":[{\"port\":6443}]}]}");
	kit_load();
	fakehost_put(kit.fh, "pods", "default", "web", pod);
	kit_run(400);
	is_str(kit_get("web", "status.phase"), "Pending", "a missing ConfigMap keeps a pod waiting");
	is_str(kit_get("web", "status.containerStatuses.0.state.waiting.reason"), "ContainerCreating", "ContainerCreating");
	is_int(fakehost_api_count(kit.fh, "MountVolume.SetUp failed for volume \\\"cm\\\" : configmap \\\"c1\\\" not found"), 1, "event FailedMount");
	fakehost_put(kit.fh, "configmaps", "default", "c1", "{\"data\":{\"k1\":\"v1\",\"k2\":\"w\"},\"binaryData\":{\"bin\":\"AAE=\"}}");
	kit_run(100);
	is_str(kit_get("web", "status.phase"), "Running", "its coming starts it at once");
	is_str(kit_get("web", "status.containerStatuses.0.volumeMounts"),
	       "[{\"name\":\"cm\",\"mountPath\":\"/cm\",\"readOnly\":true,\"recursiveReadOnly\":\"Disabled\"},"
	       "{\"name\":\"tmp\",\"mountPath\":\"/tmp\"},{\"name\":\"art\",\"mountPath\":\"/art\"}]", "its mounts are told");
	is_int(kit_count("pull tools:1"), 1, "an image that is a volume is pulled");
	{
		struct ojson *m = ojson_index(ojson_get(kit_ctr("web")->config, "mounts"), 2);

		ok(!strcmp(ojson_cstr(OJSON_AT(m, "image", "image"), ""), "sha256:1") && ojson_get_bool(m, "readonly", false) &&
		   !strcmp(ojson_get_cstr(m, "imageSubPath", ""), "bin") && !strcmp(ojson_get_cstr(m, "containerPath", ""), "/art"),
		   "and mounted by the runtime, read-only");
	}
	is_str(volume_file("u1", "configmap", "cm", "k1"), "v1", "a file for each key");
	is_str(volume_file("u1", "configmap", "some", "d/one"), "v1", "items choose and name");
	is_str(volume_file("u1", "configmap", "some", "k2"), "(no file)", "nothing else");
	is_str(volume_file("u1", "secret", "sec", "p"), "secret", "a Secret's bytes");
	snprintf(path, sizeof(path), "%s/root/pods/u1/volumes/kubernetes.io~secret/sec/p", kit.dir);
	ok(!stat(path, &st) && (st.st_mode & 0777) == 0600, "with its mode");
	is_str(volume_file("u1", "downward-api", "down", "labels"), "a=\"1\"\nb=\"x y\"", "labels by the downward API");
	is_str(volume_file("u1", "projected", "proj", "token"), "t1", "a service account token");
	is_str(volume_file("u1", "projected", "proj", "ns"), "default", "beside other sources");
	ok(strstr(last_error, "\"boundObjectRef\":{\"kind\":\"Pod\"") && strstr(last_error, "\"uid\":\"u1\""), "bound to the pod");
	test_config();
	snprintf(path, sizeof(path), "%s/root/pods/u1/volumes/kubernetes.io~configmap/cm/..data", kit.dir);
	n = readlink(path, before, sizeof(before) - 1);
	ok(n > 0, "..data is a link");
	fakehost_put(kit.fh, "configmaps", "default", "c1", "{\"data\":{\"k1\":\"v2\",\"k3\":\"n\"}}");
	kit_run(100);
	is_str(volume_file("u1", "configmap", "cm", "k1"), "v2", "a change arrives");
	is_str(volume_file("u1", "configmap", "cm", "k2"), "(no file)", "what is gone goes");
	is_str(volume_file("u1", "configmap", "cm", "k3"), "n", "what is new comes");
	is_int(kit_count("create "), 1, "the container goes on");
	fakehost_put(kit.fh, "configmaps", "default", "unrelated", "{}");
	kit_run(100);
	kit_run(2860 * 1000);
	is_int(n_tokens, 1, "a token is kept");
	kit_run(40 * 1000);
	is_int(n_tokens, 2, "until four fifths of its life are over");
	is_str(volume_file("u1", "projected", "proj", "token"), "t2", "and is then renewed in place");
	volume_file("", "", "", "");
	kit_end();
	return done_testing();
}
