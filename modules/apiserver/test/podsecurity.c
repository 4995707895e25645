/* podsecurity.c - the Pod Security Standards by tables: one pod, one policy, upstream's words. */
#include <string.h>

#include "../admission/podsecurity.h"
#include "base/otap.h"

#define R	PSA_RESTRICTED
#define B	PSA_BASELINE

static const struct {
	enum psa_level	level;
	int		minor;
	const char	*pod;		/* members of the pod */
	const char	*want;
} rows[] = {
	{ PSA_PRIVILEGED, -1, "\"spec\":{\"hostPID\":true}", "" },
	{ B, -1, "\"spec\":{\"containers\":[{\"name\":\"x\"}]}", "" },
	{ R, -1, "\"spec\":{\"containers\":[{\"name\":\"x\"}]}",
	  "allowPrivilegeEscalation != false (container \"x\" must set securityContext.allowPrivilegeEscalation=false), "
	  "unrestricted capabilities (container \"x\" must set securityContext.capabilities.drop=[\"ALL\"]), "
	  "runAsNonRoot != true (pod or container \"x\" must set securityContext.runAsNonRoot=true), "
	  "seccompProfile (pod or container \"x\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")" },
	{ R, 7, "\"spec\":{\"containers\":[{\"name\":\"x\"}]}",
	  "runAsNonRoot != true (pod or container \"x\" must set securityContext.runAsNonRoot=true)" },
	{ R, 21, "\"spec\":{\"containers\":[{\"name\":\"x\"},{\"name\":\"y\"}]}",
	  "allowPrivilegeEscalation != false (containers \"x\", \"y\" must set securityContext.allowPrivilegeEscalation=false), "
	  "runAsNonRoot != true (pod or containers \"x\", \"y\" must set securityContext.runAsNonRoot=true), "
	  "seccompProfile (pod or containers \"x\", \"y\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")" },
	{ R, 25, "\"spec\":{\"os\":{\"name\":\"windows\"},\"securityContext\":{\"runAsNonRoot\":true},\"containers\":[{\"name\":\"x\"}]}", "" },
	{ R, 35, "\"spec\":{\"hostUsers\":false,\"securityContext\":{\"runAsUser\":0,\"seccompProfile\":{\"type\":\"Localhost\"}},\"containers\":[{\"name\":\"x\","
	  "\"securityContext\":{\"allowPrivilegeEscalation\":false,\"procMount\":\"Unmasked\",\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_BIND_SERVICE\"]}}}]}", "" },
	{ R, -1, "\"spec\":{\"securityContext\":{\"runAsNonRoot\":false,\"runAsUser\":0,\"seccompProfile\":{\"type\":\"Unconfined\"}},"
	  "\"volumes\":[{\"name\":\"h\",\"hostPath\":{}},{\"name\":\"n\",\"nfs\":{}},{\"name\":\"e\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"x\","
	  "\"securityContext\":{\"allowPrivilegeEscalation\":false,\"runAsNonRoot\":false,\"runAsUser\":0,\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"CHOWN\"]}}}]}",
	  "unrestricted capabilities (container \"x\" must not include \"CHOWN\" in securityContext.capabilities.add), "
	  "restricted volume types (volumes \"h\", \"n\" use restricted volume types \"hostPath\", \"nfs\"), "
	  "runAsNonRoot != true (pod and container \"x\" must not set securityContext.runAsNonRoot=false), "
	  "runAsUser=0 (pod and container \"x\" must not set runAsUser=0), "
	  "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")" },
	{ B, -1, "\"spec\":{\"hostNetwork\":true,\"hostPID\":true,\"volumes\":[{\"name\":\"h\",\"hostPath\":{}}],\"containers\":[{\"name\":\"x\","
	  "\"ports\":[{\"hostPort\":81},{\"hostPort\":80}],\"securityContext\":{\"privileged\":true,\"procMount\":\"Unmasked\",\"capabilities\":{\"add\":[\"SYS_ADMIN\",\"CHOWN\"]}}}],"
	  "\"initContainers\":[{\"name\":\"i\",\"securityContext\":{\"privileged\":true}}]}",
	  "non-default capabilities (container \"x\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), "
	  "host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume \"h\"), "
	  "hostPort (container \"x\" uses hostPorts 80, 81), "
	  "privileged (containers \"i\", \"x\" must not set securityContext.privileged=true), "
	  "procMount (container \"x\" must not set securityContext.procMount to \"Unmasked\")" },
	{ B, -1, "\"metadata\":{\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/x\":\"unconfined\"}},\"spec\":{\"securityContext\":"
	  "{\"appArmorProfile\":{\"type\":\"Unconfined\"}},\"containers\":[{\"name\":\"x\"}]}",
	  "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to \"Unconfined\", "
	  "\"container.apparmor.security.beta.kubernetes.io/x=\\\"unconfined\\\"\")" },
	{ B, -1, "\"spec\":{\"securityContext\":{\"seLinuxOptions\":{\"type\":\"spc_t\",\"user\":\"u\"},\"sysctls\":[{\"name\":\"kernel.msgmax\"},"
	  "{\"name\":\"net.ipv4.tcp_rmem\"}],\"windowsOptions\":{\"hostProcess\":true}},\"containers\":[{\"name\":\"x\",\"securityContext\":{"
	  "\"seccompProfile\":{\"type\":\"Unconfined\"}}}]}",
	  "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set), "
	  "seccompProfile (container \"x\" must not set securityContext.seccompProfile.type to \"Unconfined\"), "
	  "forbidden sysctls (kernel.msgmax), hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)" },
	{ B, 30, "\"spec\":{\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_rmem\"}]},\"containers\":[{\"name\":\"x\","
	  "\"livenessProbe\":{\"httpGet\":{\"host\":\"h\"}}}]}", "forbidden sysctls (net.ipv4.tcp_rmem)" },
	{ B, 34, "\"spec\":{\"containers\":[{\"name\":\"x\",\"livenessProbe\":{\"httpGet\":{\"host\":\"h\"}},\"lifecycle\":{\"preStop\":{\"tcpSocket\":{\"host\":\"g\"}}}}]}",
	  "probe or lifecycle host (container \"x\" uses probe or lifecycle hosts \"g\", \"h\")" },
	{ B, 18, "\"metadata\":{\"annotations\":{\"seccomp.security.alpha.kubernetes.io/pod\":\"unconfined\"}},\"spec\":{\"containers\":[{\"name\":\"x\"}]}",
	  "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")" },
	{ R, 99, "\"spec\":{\"hostIPC\":true,\"containers\":[]}", "host namespaces (hostIPC=true)" },
};

int main(void)
{
	struct psa_policy p = { PSA_RESTRICTED, -1 };
	char text[40];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct psa_policy policy = { rows[i].level, rows[i].minor };
		struct obuf json = OBUF_INIT, why = OBUF_INIT;
		struct ojson *pod = NULL;
		bool allowed;

		obuf_printf(&json, "{%s}", rows[i].pod);
		if (ojson_parse(json.data, json.len, &pod, NULL))
			otap_bail_out(rows[i].pod);
		allowed = psa_evaluate(&policy, ojson_get(pod, "metadata"), ojson_get(pod, "spec"), &why, NULL);
		is_str(obuf_cstr(&why), rows[i].want, "%s: %s", psa_policy_text(&policy, text), rows[i].pod);
		ok(allowed == !rows[i].want[0], "and allowed or not");
		ojson_unref(pod);
		obuf_done(&json);
		obuf_done(&why);
	}
	is_str(psa_policy_text(&p, text), "restricted:latest", "a policy's name");
	p.minor = 22;
	is_str(psa_policy_text(&p, text), "restricted:v1.22", "of a version");
	return done_testing();
}
