// Discovery, objects of many kinds in JSON and in protobuf, lists in pages, conflicts, patches, refusals.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/retry"
)

func discover() {
	v, err := cs.Discovery().ServerVersion()
	must(err)
	eq(v.Major, "1", "the version")
	groups, lists, err := cs.Discovery().ServerGroupsAndResources()
	must(err)
	ok(len(groups) > 15 && len(lists) > 20, "groups and resources", len(groups), len(lists))
	preferred, err := cs.Discovery().ServerPreferredNamespacedResources()
	must(err)
	kinds := map[string]bool{}
	for _, l := range preferred {
		for _, r := range l.APIResources {
			kinds[l.GroupVersion+" "+r.Kind] = true
		}
	}
	ok(kinds["v1 Pod"] && kinds["apps/v1 Deployment"] && kinds["batch/v1 CronJob"], "the preferred ones", kinds)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(cs.Discovery()))
	m, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "StatefulSet"})
	must(err)
	eq(m.Resource, "apps/v1, Resource=statefulsets", "a kind's resource")
	doc, err := pb.Discovery().OpenAPISchema()
	must(err)
	ok(len(doc.Definitions.AdditionalProperties) > 300, "OpenAPI in protobuf", len(doc.Definitions.AdditionalProperties))
}

func objects() {
	_, err := pb.CoreV1().Namespaces().Create(bg, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	must(err)
	for _, c := range []struct {
		name string
		*kubernetes.Clientset
	}{{"JSON", cs}, {"protobuf", pb}} {
		cm := configMap("a", map[string]string{"k": "v"})
		cm.BinaryData = map[string][]byte{"b": {0, 1, 255}}
		api := c.CoreV1().ConfigMaps(ns)
		got, err := api.Create(bg, cm, metav1.CreateOptions{})
		must(err)
		ok(got.UID != "" && got.ResourceVersion != "" && !got.CreationTimestamp.IsZero() && got.BinaryData["b"][2] == 255, c.name+": created", got)
		old := got.DeepCopy()
		got.Data["k"] = "w"
		got, err = api.Update(bg, got, metav1.UpdateOptions{})
		must(err)
		eq(got.Data["k"], "w", c.name+": updated")
		_, err = api.Update(bg, old, metav1.UpdateOptions{})
		ok(apierrors.IsConflict(err), c.name+": an old one is a conflict", err)
		got, err = api.Get(bg, "a", metav1.GetOptions{ResourceVersion: "0"})
		must(err)
		eq(got.Data["k"], "w", c.name+": read")
		dry := configMap("dry", nil)
		_, err = api.Create(bg, dry, metav1.CreateOptions{DryRun: []string{"All"}})
		must(err)
		_, err = api.Get(bg, "dry", metav1.GetOptions{})
		ok(apierrors.IsNotFound(err), c.name+": a dry run changes nothing", err)
		other := types.UID("other")
		err = api.Delete(bg, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
		ok(apierrors.IsConflict(err), c.name+": deleted only if it is that one", err)
		must(api.Delete(bg, "a", *metav1.NewPreconditionDeleteOptions(string(got.UID))))
		_, err = api.Get(bg, "a", metav1.GetOptions{})
		ok(apierrors.IsNotFound(err), c.name+": deleted", err)
	}
	raw, err := cs.CoreV1().RESTClient().Get().Resource("namespaces").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(bg)
	must(err)
	var table metav1.Table
	must(json.Unmarshal(raw, &table))
	ok(table.Kind == "Table" && len(table.Rows) > 3 && table.ColumnDefinitions[0].Name == "Name", "as a table", table.Kind)
}

// One object of many kinds, written by one client, read by both, and written back by the other: nothing gets lost.
func encodings() {
	one, pct := int32(1), intstr.FromString("25%")
	yes, secs := true, int64(30)
	path := networkingv1.PathTypePrefix
	micro := metav1.NewMicroTime(time.Unix(1700000000, 123456000))
	labels := map[string]string{"a": "b"}
	pod := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
		RestartPolicy: "Always", TerminationGracePeriodSeconds: &secs,
		InitContainers: []corev1.Container{{Name: "i", Image: "i"}},
		Containers: []corev1.Container{{Name: "c", Image: "c", Args: []string{""}, Env: []corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
			Resources:     corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("0.25"), "memory": resource.MustParse("1.5Gi")}},
			LivenessProbe: &corev1.Probe{PeriodSeconds: 7}, Ports: []corev1.ContainerPort{{ContainerPort: 80}},
			SecurityContext: &corev1.SecurityContext{RunAsNonRoot: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}},
		Volumes:  []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}}}},
		Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 3, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "k", Operator: "In", Values: []string{"v"}}}}}}}},
	}}
	pod.Spec.Containers[0].LivenessProbe.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromString("http")}
	pod.Spec.Containers[0].Ports[0].Name = "http"
	zero := int32(0)
	once := *pod.DeepCopy()
	once.Spec.RestartPolicy = "Never"
	objs := []struct {
		resource string
		obj      runtime.Object
		out      func() runtime.Object
		client   func(*kubernetes.Clientset) rest.Interface
	}{
		{"secrets", &corev1.Secret{ObjectMeta: named("x", labels), Data: map[string][]byte{"k": {0, 255}}, StringData: map[string]string{"s": "t"}, Immutable: &yes}, func() runtime.Object { return &corev1.Secret{} }, func(c *kubernetes.Clientset) rest.Interface { return c.CoreV1().RESTClient() }},
		{"services", &corev1.Service{ObjectMeta: named("x", nil), Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Name: "n", Port: 80, TargetPort: intstr.FromString("http")}}}}, func() runtime.Object { return &corev1.Service{} }, func(c *kubernetes.Clientset) rest.Interface { return c.CoreV1().RESTClient() }},
		{"podtemplates", &corev1.PodTemplate{ObjectMeta: named("x", nil), Template: pod}, func() runtime.Object { return &corev1.PodTemplate{} }, func(c *kubernetes.Clientset) rest.Interface { return c.CoreV1().RESTClient() }},
		{"limitranges", &corev1.LimitRange{ObjectMeta: named("x", nil), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: "PersistentVolumeClaim", Max: corev1.ResourceList{"storage": resource.MustParse("10Gi")}}}}}, func() runtime.Object { return &corev1.LimitRange{} }, func(c *kubernetes.Clientset) rest.Interface { return c.CoreV1().RESTClient() }},
		{"persistentvolumeclaims", &corev1.PersistentVolumeClaim{ObjectMeta: named("x", nil), Spec: claim()}, func() runtime.Object { return &corev1.PersistentVolumeClaim{} }, func(c *kubernetes.Clientset) rest.Interface { return c.CoreV1().RESTClient() }},
		{"deployments", &appsv1.Deployment{ObjectMeta: named("x", labels), Spec: appsv1.DeploymentSpec{Replicas: &zero, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: pod, Strategy: appsv1.DeploymentStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &pct}}}}, func() runtime.Object { return &appsv1.Deployment{} }, func(c *kubernetes.Clientset) rest.Interface { return c.AppsV1().RESTClient() }},
		{"statefulsets", &appsv1.StatefulSet{ObjectMeta: named("x", nil), Spec: appsv1.StatefulSetSpec{Replicas: &zero, ServiceName: "x", Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: pod, VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: claim()}}}}, func() runtime.Object { return &appsv1.StatefulSet{} }, func(c *kubernetes.Clientset) rest.Interface { return c.AppsV1().RESTClient() }},
		{"jobs", &batchv1.Job{ObjectMeta: named("x", nil), Spec: batchv1.JobSpec{Parallelism: &zero, BackoffLimit: &one, Template: once}}, func() runtime.Object { return &batchv1.Job{} }, func(c *kubernetes.Clientset) rest.Interface { return c.BatchV1().RESTClient() }},
		{"horizontalpodautoscalers", &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: named("x", nil), Spec: autoscalingv1.HorizontalPodAutoscalerSpec{MaxReplicas: 3, TargetCPUUtilizationPercentage: &one, ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{Kind: "Deployment", Name: "none", APIVersion: "apps/v1"}}}, func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscaler{} }, func(c *kubernetes.Clientset) rest.Interface { return c.AutoscalingV1().RESTClient() }},
		{"leases", &coordinationv1.Lease{ObjectMeta: named("x", nil), Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: &one, RenewTime: &micro}}, func() runtime.Object { return &coordinationv1.Lease{} }, func(c *kubernetes.Clientset) rest.Interface { return c.CoordinationV1().RESTClient() }},
		{"ingresses", &networkingv1.Ingress{ObjectMeta: named("x", nil), Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "h.example", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/p", PathType: &path, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "s", Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}}}}, func() runtime.Object { return &networkingv1.Ingress{} }, func(c *kubernetes.Clientset) rest.Interface { return c.NetworkingV1().RESTClient() }},
		{"networkpolicies", &networkingv1.NetworkPolicy{ObjectMeta: named("x", nil), Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}}}}}}}, func() runtime.Object { return &networkingv1.NetworkPolicy{} }, func(c *kubernetes.Clientset) rest.Interface { return c.NetworkingV1().RESTClient() }},
		{"roles", &rbacv1.Role{ObjectMeta: named("x", nil), Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}, func() runtime.Object { return &rbacv1.Role{} }, func(c *kubernetes.Clientset) rest.Interface { return c.RbacV1().RESTClient() }},
		{"/storageclasses", &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "client-go"}, Provisioner: "p.example/p", Parameters: labels}, func() runtime.Object { return &storagev1.StorageClass{} }, func(c *kubernetes.Clientset) rest.Interface { return c.StorageV1().RESTClient() }},
		{"/priorityclasses", &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "client-go"}, Value: -5, Description: "ümlaut"}, func() runtime.Object { return &schedulingv1.PriorityClass{} }, func(c *kubernetes.Clientset) rest.Interface { return c.SchedulingV1().RESTClient() }},
	}
	for _, o := range objs {
		name, in, plural := "x", ns, o.resource
		if strings.HasPrefix(plural, "/") {
			name, in, plural = "client-go", "", plural[1:]
		}
		made, a, b, back := o.out(), o.out(), o.out(), o.out()
		if err := o.client(pb).Post().NamespaceIfScoped(in, in != "").Resource(plural).Body(o.obj).Do(bg).Into(made); err != nil {
			ok(false, plural+": made", err)
			continue
		}
		// Controllers write too: both reads must be of one version.
		for version(a) == "" || version(a) != version(b) {
			a, b = o.out(), o.out()
			must(o.client(cs).Get().NamespaceIfScoped(in, in != "").Resource(plural).Name(name).Do(bg).Into(a))
			must(o.client(pb).Get().NamespaceIfScoped(in, in != "").Resource(plural).Name(name).Do(bg).Into(b))
		}
		unset(made)
		unset(a)
		unset(b)
		ok(equality.Semantic.DeepEqual(a, b), plural+": both encodings say the same", text(a), text(b))
		eq(field(a, "metadata", "uid"), field(made, "metadata", "uid"), plural+": as it was made")
		eq(field(a, "spec"), field(made, "spec"), plural+": and with the same")
		warned.clear()
		err := o.client(cs).Put().NamespaceIfScoped(in, in != "").Resource(plural).Name(name).Body(b).Do(bg).Into(back)
		for apierrors.IsConflict(err) {
			must(o.client(pb).Get().NamespaceIfScoped(in, in != "").Resource(plural).Name(name).Do(bg).Into(b))
			err = o.client(cs).Put().NamespaceIfScoped(in, in != "").Resource(plural).Name(name).Body(b).Do(bg).Into(back)
		}
		ok(err == nil && fmt.Sprint(field(back, "metadata", "generation")) == fmt.Sprint(field(b, "metadata", "generation")), plural+": written back, unchanged", err, text(back), text(b))
		eq(warned.all(), "[]", plural+": without warnings")
		must(o.client(pb).Delete().NamespaceIfScoped(in, in != "").Resource(plural).Name(name).Do(bg).Error())
	}
}

func claim() corev1.PersistentVolumeClaimSpec {
	c := corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{"ReadWriteOnce"}}
	c.Resources.Requests = corev1.ResourceList{"storage": resource.MustParse("5Gi")}
	return c
}

// Kinds come with JSON and not with protobuf.
func unset(o runtime.Object) {
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	if s, is := o.(*appsv1.StatefulSet); is {
		for i := range s.Spec.VolumeClaimTemplates {
			s.Spec.VolumeClaimTemplates[i].TypeMeta = metav1.TypeMeta{}
		}
	}
}

func text(o runtime.Object) string {
	b, _ := json.Marshal(o)
	return string(b)
}

func field(o runtime.Object, names ...string) interface{} {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	must(err)
	var v interface{} = m
	for _, n := range names {
		m, _ := v.(map[string]interface{})
		v = m[n]
	}
	return v
}

func version(o runtime.Object) string {
	return o.(metav1.Object).GetResourceVersion()
}

// The warnings of the server.
type warnings struct {
	lock sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(code int, agent string, text string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.text = append(w.text, text)
}

func (w *warnings) all() []string {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.text
}

func (w *warnings) clear() {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.text = nil
}

func refusals() {
	api := pb.CoreV1().ConfigMaps(ns)
	_, err := api.Get(bg, "nothing", metav1.GetOptions{})
	ok(apierrors.IsNotFound(err) && err.Error() == `configmaps "nothing" not found`, "not found", err)
	_, err = api.Create(bg, configMap("twice", nil), metav1.CreateOptions{})
	must(err)
	_, err = api.Create(bg, configMap("twice", nil), metav1.CreateOptions{})
	ok(apierrors.IsAlreadyExists(err), "already exists", err)
	_, err = api.Create(bg, configMap("A_", nil), metav1.CreateOptions{})
	status, _ := err.(apierrors.APIStatus)
	ok(apierrors.IsInvalid(err) && status != nil && status.Status().Details.Causes[0].Field == "metadata.name", "invalid, and where", err)
	_, err = api.Create(bg, configMap("x", nil), metav1.CreateOptions{FieldManager: strings.Repeat("x", 200)})
	ok(apierrors.IsInvalid(err), "a manager with a long name", err)
	_, err = api.List(bg, metav1.ListOptions{LabelSelector: "(("})
	ok(apierrors.IsBadRequest(err), "a bad selector", err)
	_, err = api.List(bg, metav1.ListOptions{Continue: "nonsense", Limit: 1})
	ok(apierrors.IsBadRequest(err), "a bad continue", err)
	_, err = pb.CoreV1().ConfigMaps("nowhere").Create(bg, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	ok(apierrors.IsNotFound(err), "a namespace that is not there", err)
	err = pb.CoreV1().RESTClient().Get().AbsPath("/apis/none.example/v1/things").Do(bg).Error()
	ok(apierrors.IsNotFound(err), "a path that is not there", err)
	err = pb.CoreV1().RESTClient().Put().Namespace(ns).Resource("configmaps").Do(bg).Error()
	ok(apierrors.IsMethodNotSupported(err), "a verb that is not there", err)
	err = cs.CoreV1().RESTClient().Post().Namespace(ns).Resource("configmaps").SetHeader("Content-Type", "text/odd").Body([]byte("x")).Do(bg).Error()
	ok(apierrors.IsUnsupportedMediaType(err), "a type that is not there", err)
	err = cs.CoreV1().RESTClient().Get().Namespace(ns).Resource("configmaps").SetHeader("Accept", "text/odd").Do(bg).Error()
	ok(apierrors.IsNotAcceptable(err), "an answer that cannot be given", err)
	err = cs.CoreV1().RESTClient().Post().Namespace(ns).Resource("configmaps").SetHeader("Content-Type", "application/vnd.kubernetes.protobuf").Body([]byte("k8s\x00\xff\xff\xff\xff")).Do(bg).Error()
	ok(apierrors.IsBadRequest(err), "protobuf that is none", err)

	as := rest.CopyConfig(pbConf)
	as.Impersonate = rest.ImpersonationConfig{UserName: "jane", Groups: []string{"system:authenticated", "dev"}}
	jane := kubernetes.NewForConfigOrDie(as)
	_, err = jane.CoreV1().Secrets(ns).List(bg, metav1.ListOptions{})
	ok(apierrors.IsForbidden(err) && strings.Contains(err.Error(), `User "jane" cannot list resource "secrets" in API group "" in the namespace "client-go"`), "forbidden to somebody else", err)
	nobody := rest.AnonymousClientConfig(config)
	nobody.BearerToken = "wrong"
	_, err = kubernetes.NewForConfigOrDie(nobody).CoreV1().Pods(ns).List(bg, metav1.ListOptions{})
	ok(apierrors.IsUnauthorized(err), "unauthorized with a wrong token", err)
}

func lists() {
	for i := 0; i < 23; i++ {
		_, err := pb.CoreV1().ConfigMaps(ns).Create(bg, configMap(fmt.Sprintf("l%02d", i), nil), metav1.CreateOptions{})
		must(err)
	}
	pages, names := 0, []string{}
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		pages++
		return pb.CoreV1().ConfigMaps(ns).List(ctx, o)
	})
	p.PageSize = 5
	must(p.EachListItem(bg, metav1.ListOptions{LabelSelector: "of=test"}, func(o runtime.Object) error {
		names = append(names, o.(*corev1.ConfigMap).Name)
		return nil
	}))
	ok(sort.StringsAreSorted(names) && len(names) == 24 && pages == 5, "a pager sees each once", pages, names)
	l, err := pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{Limit: 10})
	must(err)
	ok(l.RemainingItemCount != nil && *l.RemainingItemCount >= 14, "how many remain", l.ListMeta)
	first := l.ResourceVersion
	must(pb.CoreV1().ConfigMaps(ns).Delete(bg, "l22", metav1.DeleteOptions{}))
	l2, err := pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{Limit: 500, Continue: l.Continue})
	must(err)
	ok(l2.ResourceVersion == first && l2.Items[len(l2.Items)-1].Name == "twice" && l2.Items[len(l2.Items)-2].Name == "l22", "later pages show the same moment", first, l2.ListMeta)
	exact, err := pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{ResourceVersion: first, ResourceVersionMatch: metav1.ResourceVersionMatchExact, LabelSelector: "of=test"})
	must(err)
	eq(len(exact.Items), 24, "the list of a moment gone by")
	_, err = pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{ResourceVersion: "999999999", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	ok(apierrors.IsTimeout(err) && apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge), "a moment to come", err)
	must(pb.CoreV1().ConfigMaps(ns).DeleteCollection(bg, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "of=test"}))
	l, err = pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{LabelSelector: "of=test"})
	must(err)
	eq(len(l.Items), 0, "all of them deleted")
}

func conflicts() {
	_, err := pb.CoreV1().ConfigMaps(ns).Create(bg, configMap("counter", map[string]string{"n": "0"}), metav1.CreateOptions{})
	must(err)
	var wg sync.WaitGroup
	failed := make(chan error, 100)
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func(c *kubernetes.Clientset) {
			defer wg.Done()
			for j := 0; j < 10; j++ {
				failed <- retry.OnError(retry.DefaultBackoff, func(err error) bool { return true }, func() error {
					return retry.RetryOnConflict(retry.DefaultRetry, func() error {
						cm, err := c.CoreV1().ConfigMaps(ns).Get(bg, "counter", metav1.GetOptions{})
						if err != nil {
							return err
						}
						var n int
						fmt.Sscan(cm.Data["n"], &n)
						cm.Data["n"] = fmt.Sprint(n + 1)
						_, err = c.CoreV1().ConfigMaps(ns).Update(bg, cm, metav1.UpdateOptions{})
						return err
					})
				})
			}
		}([]*kubernetes.Clientset{cs, pb}[i%2])
	}
	wg.Wait()
	done := 0
	for i := 0; i < 80; i++ {
		if err := <-failed; err == nil {
			done++
		} else if !apierrors.IsConflict(err) {
			ok(false, "counted", err)
		}
	}
	cm, err := pb.CoreV1().ConfigMaps(ns).Get(bg, "counter", metav1.GetOptions{})
	must(err)
	eq(cm.Data["n"], done, "eight that count together lose nothing")
	ok(done > 0, "and get on", done)
}

func patches() {
	labels := map[string]string{"a": "p"}
	zero := int32(0)
	d := &appsv1.Deployment{ObjectMeta: named("p", nil), Spec: appsv1.DeploymentSpec{Replicas: &zero, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}, {Name: "d", Image: "j"}}}}}}
	api := pb.AppsV1().Deployments(ns)
	_, err := api.Create(bg, d, metav1.CreateOptions{})
	must(err)
	got, err := api.Patch(bg, "p", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"d","$patch":"delete"},{"name":"c","image":"k"}]}}}}`), metav1.PatchOptions{})
	must(err)
	ok(len(got.Spec.Template.Spec.Containers) == 1 && got.Spec.Template.Spec.Containers[0].Image == "k", "a strategic merge patch", got.Spec.Template.Spec.Containers)
	got, err = api.Patch(bg, "p", types.JSONPatchType, []byte(`[{"op":"test","path":"/spec/replicas","value":0},{"op":"add","path":"/metadata/labels","value":{"x":"y"}}]`), metav1.PatchOptions{})
	must(err)
	eq(got.Labels["x"], "y", "a JSON patch")
	got, err = api.Patch(bg, "p", types.MergePatchType, []byte(`{"metadata":{"labels":{"x":null,"z":"1"}}}`), metav1.PatchOptions{})
	must(err)
	eq(got.Labels, map[string]string{"z": "1"}, "a merge patch")
	_, err = api.Patch(bg, "p", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1"}}`), metav1.PatchOptions{})
	ok(apierrors.IsConflict(err), "of an old version", err)

	apply := func(manager, body string, force bool) (*appsv1.Deployment, error) {
		return api.Patch(bg, "p", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: manager, Force: &force})
	}
	head := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"p"`
	got, err = apply("one", head+`,"labels":{"one":"1"}},"spec":{"minReadySeconds":1}}`, false)
	must(err)
	eq(got.Spec.MinReadySeconds, 1, "applied")
	_, err = apply("two", head+`},"spec":{"minReadySeconds":2}}`, false)
	ok(apierrors.IsConflict(err) && apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict), "a conflict of two", err)
	got, err = apply("two", head+`},"spec":{"minReadySeconds":2}}`, true)
	must(err)
	got, err = apply("one", head+`}}`, false)
	must(err)
	ok(got.Spec.MinReadySeconds == 2 && got.Labels["one"] == "", "each its own fields", got.Spec.MinReadySeconds, got.Labels)
	managers := map[string]string{}
	for _, f := range got.ManagedFields {
		managers[f.Manager] = string(f.Operation)
	}
	ok(managers["two"] == "Apply" && managers["one"] == "", "who holds what", managers)

	scales, err := scale.NewForConfig(config, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(cs.Discovery())), dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(cs.Discovery()))
	must(err)
	// Its controller writes too.
	must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		s, err := scales.Scales(ns).Get(bg, schema.GroupResource{Group: "apps", Resource: "deployments"}, "p", metav1.GetOptions{})
		must(err)
		if s.Status.Selector != "a=p" {
			return fmt.Errorf("the selector is %q", s.Status.Selector)
		}
		_, err = scales.Scales(ns).Update(bg, schema.GroupResource{Group: "apps", Resource: "deployments"}, s, metav1.UpdateOptions{})
		return err
	}))
	ok(true, "the scale client")
	must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		s, err := api.GetScale(bg, "p", metav1.GetOptions{})
		must(err)
		_, err = api.UpdateScale(bg, "p", s, metav1.UpdateOptions{})
		return err
	}))
	ok(true, "and the typed one, in protobuf")
	must(api.Delete(bg, "p", metav1.DeleteOptions{}))
}
