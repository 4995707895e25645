// Informers, typed, dynamic and of metadata alone; watches from a version, with bookmarks, from long ago; leader election;
// the recorder of events.
package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	watchtools "k8s.io/client-go/tools/watch"
)

// What an informer tells, as "add NAME", "update NAME", "resync NAME", "delete NAME".
func handler(to chan<- string) cache.ResourceEventHandler {
	name := func(o interface{}) string {
		key, _ := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
		return strings.TrimPrefix(key, ns+"/")
	}
	version := func(o interface{}) string { return o.(metav1.Object).GetResourceVersion() }
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o interface{}) { to <- "add " + name(o) },
		UpdateFunc: func(old, o interface{}) {
			if version(old) == version(o) {
				to <- "resync " + name(o)
			} else {
				to <- "update " + name(o)
			}
		},
		DeleteFunc: func(o interface{}) { to <- "delete " + name(o) },
	}
}

// The next n that are no resync.
func next(from <-chan string, n int) []string {
	var got []string
	for len(got) < n {
		if s := within(from, fmt.Sprintf("event %d of an informer, after %v", len(got)+1, got)); !strings.HasPrefix(s, "resync") {
			got = append(got, s)
		}
	}
	return got
}

func informed() {
	stop := make(chan struct{})
	defer close(stop)
	for _, c := range []string{"JSON", "protobuf"} {
		client := cs
		if c == "protobuf" {
			client = pb
		}
		_, err := client.CoreV1().ConfigMaps(ns).Create(bg, configMap("i0", nil), metav1.CreateOptions{})
		must(err)
		f := informers.NewSharedInformerFactoryWithOptions(client, time.Second, informers.WithNamespace(ns), informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "of=test" }))
		inf := f.Core().V1().ConfigMaps()
		told := make(chan string, 1000)
		inf.Informer().AddEventHandler(handler(told))
		f.Start(stop)
		for kind, synced := range f.WaitForCacheSync(stop) {
			ok(synced, c+": an informer of "+kind.String()+" has begun")
		}
		found := map[string]bool{}
		for i := 0; i < len(must1(inf.Lister().ConfigMaps(ns).List(labels.Everything()))); i++ {
			found[next(told, 1)[0]] = true
		}
		ok(found["add i0"], c+": with what there is", found)
		_, err = client.CoreV1().ConfigMaps(ns).Create(bg, configMap("i1", nil), metav1.CreateOptions{})
		must(err)
		_, err = client.CoreV1().ConfigMaps(ns).Patch(bg, "i1", types.MergePatchType, []byte(`{"data":{"a":"b"}}`), metav1.PatchOptions{})
		must(err)
		_, err = client.CoreV1().ConfigMaps(ns).Patch(bg, "i0", types.MergePatchType, []byte(`{"metadata":{"labels":{"of":"other"}}}`), metav1.PatchOptions{})
		must(err)
		must(client.CoreV1().ConfigMaps(ns).Delete(bg, "i1", metav1.DeleteOptions{}))
		eq(next(told, 4), "[add i1 update i1 delete i0 delete i1]", c+": follows; what its selector no longer means is gone")
		_, err = client.CoreV1().ConfigMaps(ns).Create(bg, configMap("i2", nil), metav1.CreateOptions{})
		must(err)
		eq(next(told, 1), "[add i2]", c+": one more")
		for s := ""; s != "resync i2"; s = within(told, "a resync") {
		}
		ok(true, c+": it is told again of what did not change")
		must(client.CoreV1().ConfigMaps(ns).Delete(bg, "i0", metav1.DeleteOptions{}))
		must(client.CoreV1().ConfigMaps(ns).Delete(bg, "i2", metav1.DeleteOptions{}))
	}

	// Watches without an informer.
	api := pb.CoreV1().Secrets(ns)
	l, err := api.List(bg, metav1.ListOptions{})
	must(err)
	_, err = api.Create(bg, &corev1.Secret{ObjectMeta: named("w", nil)}, metav1.CreateOptions{})
	must(err)
	secs := int64(5)
	w, err := api.Watch(bg, metav1.ListOptions{ResourceVersion: l.ResourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: &secs})
	must(err)
	_, err = pb.CoreV1().ConfigMaps(ns).Create(bg, configMap("elsewhere", nil), metav1.CreateOptions{}) // what such a watch passes over
	must(err)
	must(pb.CoreV1().ConfigMaps(ns).Delete(bg, "elsewhere", metav1.DeleteOptions{}))
	types, last := []string{}, ""
	for e := range w.ResultChan() {
		types = append(types, string(e.Type))
		last = e.Object.(metav1.Object).GetResourceVersion()
	}
	ok(len(types) >= 2 && types[0] == "ADDED" && types[len(types)-1] == "BOOKMARK", "a watch that ends in time has a bookmark before", types)
	now, err := api.List(bg, metav1.ListOptions{})
	must(err)
	ok(len(last) > 0 && (len(last) < len(now.ResourceVersion) || len(last) == len(now.ResourceVersion) && last <= now.ResourceVersion), "of a version", last, now.ResourceVersion)
	w, err = api.Watch(bg, metav1.ListOptions{ResourceVersion: last})
	must(err)
	must(api.Delete(bg, "w", metav1.DeleteOptions{}))
	e := within(w.ResultChan(), "a change after the bookmark")
	eq(e.Type, "DELETED", "from which a watch goes on")
	w.Stop()
	ctx, cancel := context.WithTimeout(bg, 60*time.Second)
	defer cancel()
	_, err = pb.CoreV1().ConfigMaps(ns).Create(bg, configMap("until", nil), metav1.CreateOptions{})
	must(err)
	go pb.CoreV1().ConfigMaps(ns).Patch(bg, "until", "application/merge-patch+json", []byte(`{"data":{"done":"1"}}`), metav1.PatchOptions{})
	lw := cache.NewListWatchFromClient(pb.CoreV1().RESTClient(), "configmaps", ns, fields.OneTermEqualSelector("metadata.name", "until"))
	got, err := watchtools.UntilWithSync(ctx, lw, &corev1.ConfigMap{}, nil, func(e watch.Event) (bool, error) {
		return e.Type != watch.Deleted && e.Object.(*corev1.ConfigMap).Data["done"] == "1", nil
	})
	must(err)
	rv := got.Object.(*corev1.ConfigMap).ResourceVersion
	rw, err := watchtools.NewRetryWatcher(rv, lw)
	must(err)
	must(pb.CoreV1().ConfigMaps(ns).Delete(bg, "until", metav1.DeleteOptions{}))
	eq(within(rw.ResultChan(), "the deletion").Type, "DELETED", "until something happens, and on from there")
	rw.Stop()
	_, err = pb.CoreV1().ConfigMaps(ns).Watch(bg, metav1.ListOptions{ResourceVersion: "x"})
	ok(apierrors.IsBadRequest(err) || apierrors.IsInvalid(err), "a watch from no version", err)
}

func must1[T any](v T, err error) T {
	must(err)
	return v
}

// The whole list of kinds, without their bodies.
func metadataOnly() {
	client, err := metadata.NewForConfig(config)
	must(err)
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	_, err = pb.CoreV1().ConfigMaps(ns).Create(bg, configMap("m", map[string]string{"big": "data"}), metav1.CreateOptions{})
	must(err)
	o, err := client.Resource(gvr).Namespace(ns).Get(bg, "m", metav1.GetOptions{})
	must(err)
	ok(o.Labels["of"] == "test" && o.UID != "", "metadata alone", o)
	l, err := client.Resource(gvr).Namespace(ns).List(bg, metav1.ListOptions{LabelSelector: "of=test"})
	must(err)
	ok(len(l.Items) > 0 && l.ResourceVersion != "", "a list of it", l)
	stop := make(chan struct{})
	defer close(stop)
	f := metadatainformer.NewFilteredSharedInformerFactory(client, 0, ns, func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=m" })
	told := make(chan string, 100)
	f.ForResource(gvr).Informer().AddEventHandler(handler(told))
	f.Start(stop)
	eq(next(told, 1), "[add m]", "an informer of metadata")
	_, err = client.Resource(gvr).Namespace(ns).Patch(bg, "m", types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{})
	must(err)
	must(client.Resource(gvr).Namespace(ns).Delete(bg, "m", metav1.DeleteOptions{}))
	eq(next(told, 2), "[update m delete m]", "follows")

	d := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dyn, 0, ns, func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=kube-root-ca.crt" })
	told2 := make(chan string, 100)
	d.ForResource(gvr).Informer().AddEventHandler(handler(told2))
	d.Start(stop)
	_, err = dyn.Resource(gvr).Namespace(ns).Get(bg, "kube-root-ca.crt", metav1.GetOptions{})
	if err == nil {
		eq(next(told2, 1), "[add kube-root-ca.crt]", "a dynamic informer")
	}
}

func elections() {
	ctx, cancel := context.WithCancel(bg)
	first, second, end := make(chan string, 1), make(chan string, 1), make(chan string, 2)
	var held int32
	run := func(ctx context.Context, name string, leads chan<- string) {
		lock, err := resourcelock.New(resourcelock.LeasesResourceLock, ns, "leader", pb.CoreV1(), pb.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: name})
		must(err)
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 200 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					if atomic.AddInt32(&held, 1) != 1 {
						leads <- "two lead"
					}
					leads <- name
				},
				OnStoppedLeading: func() { atomic.AddInt32(&held, -1); end <- name },
			}})
	}
	go run(ctx, "one", first)
	eq(within(first, "a leader"), "one", "one leads")
	ctx2, cancel2 := context.WithCancel(bg)
	defer cancel2()
	go run(ctx2, "two", second)
	get := func() *coordinationv1.Lease {
		return must1(cs.CoordinationV1().Leases(ns).Get(bg, "leader", metav1.GetOptions{}))
	}
	l := get()
	ok(*l.Spec.HolderIdentity == "one" && *l.Spec.LeaseDurationSeconds == 15 && !l.Spec.RenewTime.IsZero(), "its lease", l)
	w, err := pb.CoordinationV1().Leases(ns).Watch(bg, metav1.ListOptions{FieldSelector: "metadata.name=leader", ResourceVersion: l.ResourceVersion})
	must(err)
	e := within(w.ResultChan(), "a lease renewed")
	w.Stop()
	ok(e.Object.(*coordinationv1.Lease).Spec.RenewTime.After(l.Spec.RenewTime.Time), "it renews it", e)
	cancel()
	eq(within(end, "its end"), "one", "it lets go")
	eq(within(second, "another leader"), "two", "the other leads")
	l = get()
	ok(*l.Spec.HolderIdentity == "two" && *l.Spec.LeaseTransitions >= 1, "and holds the lease", l)
}

func recorded() {
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: pb.CoreV1().Events(ns)})
	defer b.Shutdown()
	cm, err := pb.CoreV1().ConfigMaps(ns).Create(bg, configMap("about", nil), metav1.CreateOptions{})
	must(err)
	w, err := pb.CoreV1().Events(ns).Watch(bg, metav1.ListOptions{FieldSelector: "involvedObject.name=about,reason=Tested"})
	must(err)
	defer w.Stop()
	r := b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "client-go"})
	r.Eventf(cm, "Warning", "Tested", "for the %s time", "first")
	e := within(w.ResultChan(), "an event").Object.(*corev1.Event)
	ok(e.Message == "for the first time" && e.Count == 1, "an event", e)
	r.Eventf(cm, "Warning", "Tested", "for the %s time", "first")
	e = within(w.ResultChan(), "the event again").Object.(*corev1.Event)
	eq(e.Count, 2, "counted")
	l, err := pb.EventsV1().Events(ns).List(bg, metav1.ListOptions{FieldSelector: "regarding.name=about"})
	must(err)
	ok(len(l.Items) == 1 && l.Items[0].Note == "for the first time" && l.Items[0].DeprecatedCount == 2, "the same in events.k8s.io", l)
}
