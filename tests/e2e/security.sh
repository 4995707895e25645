#!/bin/sh
# run: timeout=200 alone
# With which rights containers run: users and groups, capabilities, profiles, a read-only root, users of their own; and
# what is refused, in upstream's words.
. "$(dirname "$0")/lib.sh"
need conmon runtime skopeo kubectl busybox

pod()	# NAME POD-CONTEXT CONTAINER-CONTEXT [FURTHER LINE OF THE SPEC]
{
	k apply -f - > /dev/null << END
apiVersion: v1
kind: Pod
metadata: { name: $1 }
spec:
  terminationGracePeriodSeconds: 1
  securityContext: { $2 }
  ${4:-}
  containers:
  - name: main
    image: localhost/hello:1
    command: [ /bin/sleep, "1000" ]
    securityContext: { $3 }
    volumeMounts: [ { name: e, mountPath: /e }, { name: s, mountPath: /s } ]
  volumes: [ { name: e, emptyDir: {} }, { name: s, secret: { secretName: s, defaultMode: 0400 } } ]
END
}
in_pod() { p=$1; shift; k exec "$p" -- "$@"; }
line() { in_pod "$1" sed -n "s/^$2:[[:space:]]*//p" /proc/self/status; }
why() { k get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}'; }
says_why()	# POD TEXT: until its container says so
{
	k wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}'=CreateContainerConfigError "pod/$1" --timeout=30s > /dev/null
	why "$1" | grep -F "$2"
}

ok "up" up || finish
ok "the node is ready" await ' Ready ' nodes --no-headers || finish
ok "image" image 1
k create secret generic s --from-literal=p=word > /dev/null
mkdir -p "$dir/kubelet/seccomp/mine"
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' > "$dir/kubelet/seccomp/mine/no-mkdir.json"

pod user 'runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [ 4000 ], sysctls: [ { name: net.ipv4.tcp_syncookies, value: "0" } ]' \
	'allowPrivilegeEscalation: false, capabilities: { drop: [ ALL ] }, seccompProfile: { type: RuntimeDefault }'
pod own '' 'runAsUser: 7, readOnlyRootFilesystem: true, capabilities: { drop: [ ALL ], add: [ NET_BIND_SERVICE, SYS_TIME ] }, seccompProfile: { type: Localhost, localhostProfile: mine/no-mkdir.json }'
pod all '' 'privileged: true'
pod plain '' ''
pod theirs '' '' 'hostUsers: false'
pod root 'runAsNonRoot: true' ''
pod zero 'runAsNonRoot: true' 'runAsUser: 0'
pod sysctl 'sysctls: [ { name: kernel.msgmax, value: "65536" } ]' ''
ok "they run" k wait --for=condition=Ready pod/user pod/own pod/all pod/plain --timeout=60s || { k describe pod own | sed 's/^/# /'; finish; }

is "user and groups" "1000 3000 3000 2000 4000" in_pod user sh -c 'echo $(id -u) $(id -g) $(id -G)'
is "no new privileges" 1 line user NoNewPrivs
is "no capability" 0000000000000000 line user CapBnd
is "the runtime's filter of system calls" 2 line user Seccomp
is "a safe sysctl" 0 in_pod user cat /proc/sys/net/ipv4/tcp_syncookies
is "a secret for its group" word in_pod user cat /s/p
is "a container's own user" 7 in_pod own id -u
is "capabilities that are added to none" 0000000002000400 line own CapBnd
is "its own filter of system calls" "no" in_pod own sh -c 'mkdir /e/x 2> /dev/null || echo no'
is "its root is read-only" "no" in_pod own sh -c '(: > /x) 2> /dev/null || echo no'
ok "what is mounted is not" in_pod own touch /e/x
is "without a word: no filter" 0 line plain Seccomp
is "privileges may be gained" 0 line plain NoNewPrivs
ok "privileged: may mount" in_pod all mount -t tmpfs none /e
is "others may not" "no" in_pod plain sh -c 'mount -t tmpfs none /e 2> /dev/null || echo no'
is "privileged: /proc can be written" yes in_pod all sh -c '(echo x > /proc/sys/kernel/domainname) 2> /dev/null && echo yes'
is "for others it is not" no in_pod plain sh -c '(echo x > /proc/sys/kernel/domainname) 2> /dev/null || echo no'
is "for others parts of /proc are hidden" 0 in_pod plain sh -c 'cat /proc/keys 2> /dev/null | wc -l'
if k wait --for=condition=Ready pod/theirs --timeout=30s > "$out" 2>&1; then
	is "users of its own" "0 65536" in_pod theirs sh -c 'awk "{ print \$1, \$3 }" /proc/self/uid_map'
	is "nobody on the host" 1 in_pod theirs sh -c 'awk "{ print (\$2 >= 65536) }" /proc/self/uid_map'
	is "its root reads what is root's" word in_pod theirs cat /s/p
	is "and writes what is seen as root's" 0 in_pod theirs sh -c ': > /e/x; stat -c %u /e/x'
else
	skip "users of its own" "this machine cannot map users of mounts"
fi
ok "runAsNonRoot and an image that does not say" says_why root 'container has runAsNonRoot and image will run as root (pod: "root_default('
ok "runAsNonRoot and root" says_why zero "container's runAsUser breaks non-root policy (pod: \"zero_default("
ok "an unsafe sysctl" k wait --for=jsonpath='{.status.reason}'=SysctlForbidden pod/sysctl --timeout=30s
if [ ! -e /sys/kernel/security/apparmor ]; then
	pod armor '' 'appArmorProfile: { type: RuntimeDefault }'
	ok "AppArmor where there is none" k wait --for=jsonpath='{.status.reason}'=AppArmor pod/armor --timeout=30s
	is "is told" "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host" k get pod armor -o jsonpath='{.status.message}'
fi
ok "all gone" k delete pod --all --timeout=90s
finish
