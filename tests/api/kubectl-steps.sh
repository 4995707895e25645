#!/bin/sh
# What people do with kubectl, step by step, against the daemon that rig.py started. Any version from 1.20 on.
. "$srcdir/tests/api/tap.sh"
cd "$dir" || exit 2
minor=$("$KUBECTL" version --client -o json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p')
since() { [ "$minor" -ge "$1" ]; }
echo "# kubectl 1.$minor"

# ---- what there is --------------------------------------------------------------------------------------
run "version" "Server" k version
run "cluster-info" "127.0.0.1" k cluster-info
run "api-versions" "apps/v1
coordination.k8s.io/v1
v1" k api-versions
run "api-resources" "deployments
configmaps
endpointslices" k api-resources
run "api-resources of a group" "replicasets" k api-resources --api-group=apps -o wide
run "api-resources by verb" "events" k api-resources --verbs=list,watch -o name
is "get --raw /readyz" "ok" k get --raw /readyz
run "get --raw /readyz?verbose" "readyz check passed" k get --raw '/readyz?verbose'
run "get --raw /version" '"major"' k get --raw /version
run "get --raw of a list" '"kind":"NamespaceList"' k get --raw /api/v1/namespaces
is "the namespaces of the system" "default kube-node-lease kube-public kube-system" \
	k get ns -o 'jsonpath={.items[*].metadata.name}'
fails "a type nobody knows" "the server doesn't have a resource type" k get unheardof
fails "an object that is not there" 'configmaps "nope" not found' k get cm nope
run "nothing there is no failure" "No resources found" k get pods
is "--ignore-not-found" "" k get cm nope --ignore-not-found

# ---- create ---------------------------------------------------------------------------------------------
run "create namespace" "namespace/work created" k create namespace work
run "create configmap" "configmap/plain created" k -n work create configmap plain --from-literal=a=1 --from-literal=b=two
fails "and again" 'configmaps "plain" already exists' k -n work create configmap plain
run "create secret" "secret/hidden created" k -n work create secret generic hidden --from-literal=pw=geheim
is "a secret in base64" "Z2VoZWlt" k -n work get secret hidden -o 'jsonpath={.data.pw}'
run "create service" "service/web created" k -n work create service clusterip web --tcp=80:8080
k -n work get svc web -o 'jsonpath={.spec.clusterIP}' > "$out"
has 10.96.; result "it has an address of the range" $?
run "create service nodeport" "service/np created" k -n work create service nodeport np --tcp=80
k -n work get svc np -o 'jsonpath={.spec.ports[0].nodePort}' > "$out"
grep -qE '^3[0-2][0-9]{3}$' "$out"; result "it has a port of the range" $?
run "create serviceaccount" "serviceaccount/robot created" k -n work create serviceaccount robot
run "create deployment" "deployment.apps/dep created" k -n work create deployment dep --image=busybox
is "and a dry run of the server changes nothing" "configmap/dry" k -n work create configmap dry --dry-run=server -o name
fails "really" 'not found' k -n work get cm dry
cat > gen.yaml <<'END'
apiVersion: v1
kind: ConfigMap
metadata:
  generateName: gen-
END
run "generateName" "created" k -n work create -f gen.yaml
run "and once more" "created" k -n work create -f gen.yaml
k -n work get cm -o name | grep -c '^configmap/gen-[a-z0-9]\{5\}$' > "$out"
has 2; result "makes two names" $?
cat > bad.yaml <<'END'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: Bad_Name
  namespace: work
spec:
  replicas: -1
  selector:
    matchLabels: {a: b}
  template:
    metadata:
      labels: {a: other}
    spec:
      containers:
      - name: c
END
fails "what is invalid is said field by field" 'The Deployment "Bad_Name" is invalid
metadata.name
spec.replicas
spec.template.spec.containers[0].image: Required value' k create -f bad.yaml
cat > unknown.yaml <<'END'
apiVersion: v1
kind: Service
metadata:
  name: unknown
  namespace: work
spec:
  ports:
  - port: 80
    protokoll: TCP
END
fails "an unknown field" 'protokoll' k create -f unknown.yaml
run "unless nobody looks" "created" k create --validate=false -f unknown.yaml
run "a file with many objects" "configmap/m1 created
service/m2 created" k -n work create -f - <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: m1}
---
apiVersion: v1
kind: Service
metadata: {name: m2}
spec: {clusterIP: None, selector: {app: x}}
END
fails "a namespace that is not there" 'namespaces "nowhere" not found' k -n nowhere create configmap x

# ---- apply ----------------------------------------------------------------------------------------------
cat > dep.yaml <<'END'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
  namespace: work
  labels: {app: app, tier: front}
  annotations: {note: first}
spec:
  replicas: 2
  selector:
    matchLabels: {app: app}
  template:
    metadata:
      labels: {app: app}
    spec:
      containers:
      - name: main
        image: registry.local/main:1
        env:
        - {name: A, value: "1"}
        - {name: B, value: "2"}
        ports:
        - containerPort: 80
      - name: side
        image: registry.local/side:1
END
run "diff of something new" "+  name: app" sh -c '"$@"; [ $? = 1 ]' sh "$KUBECTL" diff -f dep.yaml
run "apply creates" "deployment.apps/app created" k apply -f dep.yaml
run "apply again changes nothing" "deployment.apps/app unchanged" k apply -f dep.yaml
is "its generation is 1" "1" k -n work get deploy app -o 'jsonpath={.metadata.generation}'
rv=$(k -n work get deploy app -o 'jsonpath={.metadata.resourceVersion}')
run "no difference, no diff" "" k diff -f dep.yaml
sed -e '/name: B/d' -e '/tier: front/s/, tier: front//' -e 's/main:1/main:2/' -e '/- name: side/,$d' -e 's/note: first/note2: second/' \
	dep.yaml > dep2.yaml
run "diff shows the change" "image: registry.local/side:1
registry.local/main:2" sh -c '"$@"; [ $? = 1 ]' sh "$KUBECTL" diff -f dep2.yaml
run "apply --dry-run=server" "configured (server dry run)" k apply --dry-run=server -f dep2.yaml
is "which changed nothing" "$rv" k -n work get deploy app -o 'jsonpath={.metadata.resourceVersion}'
run "apply changes and removes" "deployment.apps/app configured" k apply -f dep2.yaml
is "one container is left, with the new image" "registry.local/main:2" \
	k -n work get deploy app -o 'jsonpath={.spec.template.spec.containers[*].image}'
is "one variable is left" "A" k -n work get deploy app -o 'jsonpath={.spec.template.spec.containers[0].env[*].name}'
is "the label is gone" '' k -n work get deploy app -o 'jsonpath={.metadata.labels.tier}'
is "the annotation too, and the new one there" 'second' k -n work get deploy app -o 'jsonpath={.metadata.annotations.note}{.metadata.annotations.note2}'
is "its generation is 2" "2" k -n work get deploy app -o 'jsonpath={.metadata.generation}'
k -n work label deploy app other=hand > "$out" 2>&1
run "apply leaves alone what it never said" "unchanged" k apply -f dep2.yaml
is "the label of another hand" "hand" k -n work get deploy app -o 'jsonpath={.metadata.labels.other}'
run "apply view-last-applied" "registry.local/main:2" k apply view-last-applied -f dep2.yaml
fails "apply with a value of the wrong type" "" k apply -f - <<'END'
apiVersion: v1
kind: Service
metadata: {name: wrong, namespace: work}
spec: {ports: "eighty"}
END
run "apply --server-side" "serverside-applied" k apply --server-side -f dep2.yaml

# ---- get ------------------------------------------------------------------------------------------------
run "get as a table" "NAME
app
0/2" k -n work get deploy
run "get -o wide" "CONTAINERS
main
registry.local/main:2" k -n work get deploy -o wide
run "get -o yaml" "kind: Deployment
generation: 2" k -n work get deploy app -o yaml
run "get -o json" '"kind": "Deployment"' k -n work get deploy app -o json
is "get -o name" "deployment.apps/app" k -n work get deploy app -o name
run "custom columns" "N     IMAGE
app   registry.local/main:2" k -n work get deploy app -o 'custom-columns=N:.metadata.name,IMAGE:.spec.template.spec.containers[0].image'
is "a go template" "app 2" k -n work get deploy app -o 'go-template={{.metadata.name}} {{.spec.replicas}}'
run "labels as columns" "hand" k -n work get deploy -L other
run "--show-labels" "other=hand" k -n work get deploy --show-labels
is "by label" "deployment.apps/app" k -n work get deploy -l 'other in (hand,foot),!none' -o name
is "by field" "configmap/plain" k -n work get cm --field-selector metadata.name=plain -o name
fails "by a field that cannot be selected" "field" k -n work get cm --field-selector data.x=1
run "sorted" "plain" k -n work get cm --sort-by=.metadata.name
run "several types" "service/web
deployment.apps/app" k -n work get svc,deploy
run "of all namespaces" "default
work" k get sa,cm,svc -A
run "all" "service/web" k -n work get all
run "several by name" "web
np" k -n work get svc web np
run "in chunks" "gen-" k -n work get cm --chunk-size=1
run "describe deployment" "Replicas:
registry.local/main:2" k -n work describe deploy app
run "describe service" "10.96." k -n work describe svc web
run "describe configmap" "two" k -n work describe cm plain
run "describe secret" "pw:  6 bytes" k -n work describe secret hidden
run "describe namespace" "Active" k describe ns work
run "explain" "DESCRIPTION" k explain deployment.spec.replicas
run "explain --recursive" "livenessProbe
tolerations" k explain --recursive deployment.spec.template
run "explain a simple kind" "immutable" k explain configmap
if since 26; then
	run "explain of another group" "holderIdentity" k explain lease.spec
fi
fails "explain a field that is not there" "field \"nothing\" does not exist" k explain pod.spec.nothing

# ---- patch, edit, label, annotate, scale, replace --------------------------------------------------------
run "patch, strategic" "patched" k -n work patch deploy app -p '{"spec":{"template":{"spec":{"containers":[{"name":"added","image":"registry.local/x:1"}]}}}}'
is "added to the list by its key" "added main" sh -c '"$@" | tr " " "\n" | sort | tr "\n" " " | sed "s/ $//"' sh "$KUBECTL" -n work get deploy app -o 'jsonpath={.spec.template.spec.containers[*].name}'
run "patch, merge" "patched" k -n work patch cm plain --type=merge -p '{"data":{"a":null,"c":"3"}}'
is "removes and adds" '{"b":"two","c":"3"}' k -n work get cm plain -o 'jsonpath={.data}'
run "patch, json" "patched" k -n work patch cm plain --type=json -p '[{"op":"test","path":"/data/b","value":"two"},{"op":"move","from":"/data/b","path":"/data/d"}]'
is "moves" '{"c":"3","d":"two"}' k -n work get cm plain -o 'jsonpath={.data}'
fails "a test that fails" "" k -n work patch cm plain --type=json -p '[{"op":"test","path":"/data/d","value":"three"}]'
run "a patch without effect" "patched (no change)" k -n work patch cm plain --type=merge -p '{"data":{"c":"3"}}'
fails "a patch that makes it invalid" "is invalid" k -n work patch deploy app --type=merge -p '{"spec":{"replicas":-5}}'
run "label" "labeled" k -n work label cm plain colour=red
fails "label twice" "overwrite" k -n work label cm plain colour=blue
run "label --overwrite" "labeled" k -n work label --overwrite cm plain colour=blue
run "remove a label" "" k -n work label cm plain colour-
is "no label left" "" k -n work get cm plain -o 'jsonpath={.metadata.labels}'
fails "a wrong label" "colour" k -n work label cm plain 'colour=with blanks'
run "annotate all" "annotated" k -n work annotate cm --all who=me
cat > editor <<'END'
#!/bin/sh
sed 's/^  c: "3"/  c: "edited"/' "$1" > "$1.new" && cat "$1.new" > "$1"; rm -f "$1.new"
END
chmod +x editor
run "edit" "edited" env EDITOR="$dir/editor" KUBE_EDITOR="$dir/editor" "$KUBECTL" -n work edit cm plain
is "was stored" 'edited' k -n work get cm plain -o 'jsonpath={.data.c}'
run "scale" "scaled" k -n work scale deploy app --replicas=3
is "is in the spec" "3" k -n work get deploy app -o 'jsonpath={.spec.replicas}'
fails "scale with a wrong expectation" "" k -n work scale deploy app --current-replicas=7 --replicas=1
run "set image" "image updated" k -n work set image deploy/app main=registry.local/main:3
run "set env" "env updated" k -n work set env deploy/app NEW=1
run "rollout pause" "paused" k -n work rollout pause deploy/app
run "rollout resume" "resumed" k -n work rollout resume deploy/app
run "rollout restart" "restarted" k -n work rollout restart deploy/app
k -n work get cm plain -o yaml | sed 's/edited/replaced/' > cm.yaml
run "replace" "replaced" k replace -f cm.yaml
fails "replace of an old version" "the object has been modified" k replace -f cm.yaml
run "replace --force" "replaced" k replace --force -f cm.yaml
run "expose" "exposed" k -n work expose deploy app --port=80 --name=app
is "selects what the deployment runs" "app" k -n work get svc app -o 'jsonpath={.spec.selector.app}'
run "set selector" "" k -n work set selector svc app app=changed
is "and now another" "changed" k -n work get svc app -o 'jsonpath={.spec.selector.app}'
run "autoscale" "horizontalpodautoscaler.autoscaling/app autoscaled" k -n work autoscale deploy app --max=3
is "how far it may go" "1 3" k -n work get hpa app -o 'jsonpath={.spec.minReplicas} {.spec.maxReplicas}'

# ---- pods, nodes (nobody runs them here) ------------------------------------------------------------------
fails "a pod needs its service account" 'service account work/default' k -n work run one --image=registry.local/one:1
k -n work create serviceaccount default > "$out" 2>&1	# a controller would have
run "run" "pod/one created" k -n work run one --image=registry.local/one:1 --labels=run=one -- sleep 100
run "get pod" "one
Pending" k -n work get pod
run "get pod -o wide" "NOMINATED NODE" k -n work get pod -o wide
run "describe pod" "registry.local/one:1
Pending" k -n work describe pod one
is "default tolerations" "node.kubernetes.io/not-ready node.kubernetes.io/unreachable" \
	k -n work get pod one -o 'jsonpath={.spec.tolerations[*].key}'
is "its service account" "default" k -n work get pod one -o 'jsonpath={.spec.serviceAccountName}'
fails "a pod hardly changes" "is invalid" k -n work patch pod one -p '{"spec":{"hostNetwork":true}}'
k create -f - > "$out" 2>&1 <<'END'
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: a}}
END
run "get nodes" "n1" k get nodes
run "cordon" "cordoned" k cordon n1
is "unschedulable" "true" k get node n1 -o 'jsonpath={.spec.unschedulable}'
run "uncordon" "uncordoned" k uncordon n1
run "taint" "tainted" k taint node n1 a=b:NoSchedule
run "describe node" "a=b:NoSchedule" k describe node n1
run "delete node" "deleted" k delete node n1
if since 24; then
	run "events" "No events found" k -n work events
fi

# ---- who am I -------------------------------------------------------------------------------------------
is "auth can-i" "yes" k auth can-i create pods
run "auth can-i --list" "*.*" k auth can-i --list
if since 28; then
	run "auth whoami" "kubernetes-admin
system:masters" k auth whoami
fi
if since 24; then
	run "create token" "ey" k -n work create token robot
	token=$(k -n work create token robot --duration=1h)
	cat > token.conf <<-END
		{"apiVersion":"v1","kind":"Config","current-context":"t",
		"clusters":[{"name":"t","cluster":{"server":"$APISERVER","certificate-authority":"$RIG_DIR/pki/ca.crt"}}],
		"users":[{"name":"t","user":{"token":"$token"}}],"contexts":[{"name":"t","context":{"cluster":"t","user":"t"}}]}
	END
	if since 28; then
		run "the token is the account's" "system:serviceaccount:work:robot" k --kubeconfig token.conf auth whoami
	fi
	fails "which may not read secrets" "forbidden" k --kubeconfig token.conf -n work get secrets
	fails "can-i says no" "no" k --kubeconfig token.conf -n work auth can-i get secrets
fi

# ---- watch, wait ----------------------------------------------------------------------------------------
mkfifo fifo
timeout $((90 * TEST_TIMEOUT_FACTOR)) "$KUBECTL" -n work get cm plain -w -o name > fifo 2>&1 &
watcher=$!
exec 4< fifo
read -r line <&4; echo "$line" > "$out"; has configmap/plain; result "get -w shows what is there" $?
k -n work annotate --overwrite cm plain who=you > "$out" 2>&1
read -r line <&4; echo "$line" > "$out"; has configmap/plain; result "and what changes" $?
kill $watcher; wait $watcher 2>/dev/null; exec 4<&-
timeout $((90 * TEST_TIMEOUT_FACTOR)) "$KUBECTL" -n work get deploy -w --output-watch-events > fifo 2>&1 &
watcher=$!
exec 4< fifo
read -r line <&4; read -r line <&4
k -n work scale deploy dep --replicas=2 > "$out" 2>&1
n=0
while [ $n -lt 6 ] && read -r line <&4; do
	n=$((n + 1))
	case $line in MODIFIED*dep*) break ;; esac
done
echo "$line" > "$out"; has MODIFIED; result "get -w with tables and the types of events" $?
kill $watcher; wait $watcher 2>/dev/null; exec 4<&-
if since 23; then
	run "wait for a value" "condition met" k -n work wait cm/plain --for=jsonpath='{.metadata.annotations.who}'=you --timeout=60s
fi
fails "wait in vain" "timed out" k -n work wait deploy/app --for=condition=Available --timeout=5s

# ---- delete ---------------------------------------------------------------------------------------------
run "delete a pod that no node has" 'pod "one"' k -n work delete pod one
fails "it is gone" "not found" k -n work get pod one
k -n work run two --image=registry.local/one:1 > "$out" 2>&1
run "delete --force --grace-period=0" 'force deleted' k -n work delete pod two --force --grace-period=0
k -n work patch cm m1 --type=merge -p '{"metadata":{"finalizers":["example.com/keep"]}}' > "$out" 2>&1
run "delete with a finalizer" "deleted" k -n work delete cm m1 --wait=false
k -n work get cm m1 -o 'jsonpath={.metadata.deletionTimestamp}' > "$out" 2>&1
grep -q '^20..-..-..T..:..:..Z$' "$out"; result "stays, marked" $?
timeout $((90 * TEST_TIMEOUT_FACTOR)) "$KUBECTL" -n work delete cm m1 > fifo 2>&1 &
watcher=$!
exec 4< fifo
read -r line <&4	# it has asked, and waits
kill -0 $watcher 2> "$out"; result "delete waits" $?
k -n work patch cm m1 --type=merge -p '{"metadata":{"finalizers":null}}' > "$out" 2>&1
wait $watcher; status=$?
exec 4<&-
result "for the last finalizer" $status
fails "gone then" "not found" k -n work get cm m1
run "delete --cascade=foreground" "deleted" k -n work delete deploy app --cascade=foreground --wait=false
run "delete --cascade=orphan" "deleted" k -n work delete deploy dep --cascade=orphan --wait=false
run "delete by label" "deleted" k -n work delete cm -l '!none' --wait=false
is "no configmap is left" "" k -n work get cm -o name
run "delete several" 'service "np" deleted' k -n work delete svc web np
run "delete --all" "deleted" k -n work delete svc --all
fails "delete what is not there" "not found" k -n work delete svc web
is "delete what may be absent" "" k -n work delete svc web --ignore-not-found -o name

# ---- server-side apply
manifest()	# REPLICAS
{
	cat <<- EOF
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: ssa, namespace: work}
	spec:
	  replicas: $1
	  selector: {matchLabels: {a: b}}
	  template:
	    metadata: {labels: {a: b}}
	    spec: {containers: [{name: c, image: "i:1", ports: [{containerPort: 80}]}]}
	EOF
}
manifest 2 > "$dir/two.yaml"
manifest 3 > "$dir/three.yaml"
run "apply --server-side" "serverside-applied" k apply --server-side -f "$dir/two.yaml"
run "again" "serverside-applied" k apply --server-side -f "$dir/two.yaml"
fails "diff --server-side" "replicas: 3" k diff --server-side -f "$dir/three.yaml"
run "scale" "scaled" k -n work scale deploy ssa --replicas=4
fails "a conflict" "Apply failed with 1 conflict" k apply --server-side -f "$dir/three.yaml"
run "--force-conflicts" "serverside-applied" k apply --server-side --force-conflicts -f "$dir/three.yaml"
is "is done" 3 k -n work get deploy ssa -o 'jsonpath={.spec.replicas}'
run "gone again" "deleted" k -n work delete deploy ssa
run "client-side apply" "created" k apply -f "$dir/two.yaml"
run "goes over to server-side apply" "serverside-applied" k apply --server-side -f "$dir/three.yaml"
run "and back" "configured" k apply -f "$dir/two.yaml"
is "with the last word" 2 k -n work get deploy ssa -o 'jsonpath={.spec.replicas}'

# ---- kinds of one's own -----------------------------------------------------------------------------------
cat > "$dir/crd.yaml" << EOF
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.replicas}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              color: {type: string, enum: [red, green], description: What people see first.}
              replicas: {type: integer, minimum: 0, default: 1}
          status: {type: object, properties: {replicas: {type: integer}}}
EOF
widget()
{
	printf 'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {color: %s}\n' "$1" > "$dir/widget.yaml"
}
run "a definition" "created" k apply -f "$dir/crd.yaml"
run "is established" "condition met" k wait --for=condition=established --timeout=60s crd/widgets.example.com
run "api-resources knows it" "widgets" k api-resources --api-group=example.com
widget red
run "an object of it" "created" k apply -f "$dir/widget.yaml"
is "with its default" 1 k get wd w -o 'jsonpath={.spec.replicas}'
run "and its columns" "SIZE" k get widgets
run "in its category" "widget.example.com/w" k get all
run "scale" "scaled" k scale --replicas=3 widget/w
is "is done" 3 k get wd w -o 'jsonpath={.spec.replicas}'
widget green
run "apply changes it" "configured" k apply -f "$dir/widget.yaml"
run "server-side, too" "serverside-applied" k apply --server-side --force-conflicts -f "$dir/widget.yaml"
widget blue
fails "what it does not allow" 'Unsupported value: "blue"' k apply -f "$dir/widget.yaml"
run "explain" "What people see first." k explain widgets.spec.color
run "the definition goes" "deleted" k delete crd widgets.example.com --timeout=60s
fails "and all with it" "" k get widgets

# ---- policies, which are kept and not enforced ------------------------------------------------------------
cat > "$dir/policy.yaml" << 'EOF'
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  validations: [{expression: "object.spec.replicas <= 5"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few}
spec: {policyName: few, validationActions: [Deny]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: mark}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[]"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: mark}
spec: {policyName: mark}
EOF
run "policies are taken" "validatingadmissionpolicy.admissionregistration.k8s.io/few created
validatingadmissionpolicybinding.admissionregistration.k8s.io/few created
mutatingadmissionpolicy.admissionregistration.k8s.io/mark created
mutatingadmissionpolicybinding.admissionregistration.k8s.io/mark created
Warning: not enforced: this server does not evaluate CEL
Warning: spec.validations[0].expression: the expression \"object.spec.replicas <= 5\" is kept but not evaluated" k apply -f "$dir/policy.yaml"
run "and applied again" "validatingadmissionpolicybinding.admissionregistration.k8s.io/few unchanged" k apply -f "$dir/policy.yaml"
run "by the server" "mutatingadmissionpolicy.admissionregistration.k8s.io/mark serverside-applied" k apply --server-side --force-conflicts -f "$dir/policy.yaml"
run "get" "PARAMKIND
<unset>" k get validatingadmissionpolicies,mutatingadmissionpolicies
run "get of bindings" "PARAMREF" k get validatingadmissionpolicybindings,mutatingadmissionpolicybindings
run "describe" "NotEvaluated
Failure Policy:" k describe validatingadmissionpolicy few
run "explain" "the policy is not for this request" k explain validatingadmissionpolicy.spec.matchConditions
run "explain --recursive" "excludeResourceRules
jsonPatch" k explain --recursive mutatingadmissionpolicy.spec
run "delete" "deleted" k delete -f "$dir/policy.yaml"

run "delete namespace" "deleted" k delete ns work --wait=false
is "is ending" "Terminating" k get ns work -o 'jsonpath={.status.phase}'
fails "and takes nothing new" "being terminated" k -n work create cm late
fails "the default namespace stays" "forbidden" k delete ns default
finish
