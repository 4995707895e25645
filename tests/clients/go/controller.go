// A controller as people write them: informers, a work queue, a finalizer, owner references, status; for a kind of their own.
package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

type obj = map[string]interface{}

var (
	carKind   = schema.GroupVersionKind{Group: "go.example", Version: "v1", Kind: "Car"}
	cars      = schema.GroupVersionResource{Group: "go.example", Version: "v1", Resource: "cars"}
	crds      = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	finalizer = "go.example/wheels"
)

func car(name string, wheels int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: obj{"apiVersion": "go.example/v1", "kind": "Car", "metadata": obj{"name": name}, "spec": obj{"wheels": wheels}}}
}

// One car: as many config maps as it has wheels, and a status that says so; none when it goes.
func reconcile(api dynamic.ResourceInterface, known cache.Store, key string) error {
	o, exists, err := known.GetByKey(key)
	if err != nil || !exists {
		return err
	}
	c := o.(*unstructured.Unstructured).DeepCopy()
	maps := pb.CoreV1().ConfigMaps(ns)
	mine := "car=" + c.GetName()
	if c.GetDeletionTimestamp() != nil {
		if err := maps.DeleteCollection(bg, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: mine}); err != nil {
			return err
		}
		c.SetFinalizers(nil)
		_, err := api.Update(bg, c, metav1.UpdateOptions{})
		return err
	}
	if len(c.GetFinalizers()) == 0 {
		c.SetFinalizers([]string{finalizer})
		if c, err = api.Update(bg, c, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	wheels, _, _ := unstructured.NestedInt64(c.Object, "spec", "wheels")
	l, err := maps.List(bg, metav1.ListOptions{LabelSelector: mine})
	if err != nil {
		return err
	}
	for i := range l.Items {
		if n := int64(i); n >= wheels {
			if err := maps.Delete(bg, l.Items[i].Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	for i := int64(len(l.Items)); i < wheels; i++ {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: c.GetName() + "-", Labels: map[string]string{"car": c.GetName()}, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, carKind)}}}
		if _, err := maps.Create(bg, cm, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if have, _, _ := unstructured.NestedInt64(c.Object, "status", "wheels"); have == wheels {
		if seen, _, _ := unstructured.NestedInt64(c.Object, "status", "observedGeneration"); seen == c.GetGeneration() {
			return nil
		}
	}
	c.Object["status"] = obj{"wheels": wheels, "observedGeneration": c.GetGeneration()}
	_, err = api.UpdateStatus(bg, c, metav1.UpdateOptions{})
	return err
}

func controller() {
	schema := obj{"type": "object", "properties": obj{
		"spec":   obj{"type": "object", "properties": obj{"wheels": obj{"type": "integer", "minimum": int64(0), "maximum": int64(9), "default": int64(4)}}},
		"status": obj{"type": "object", "properties": obj{"wheels": obj{"type": "integer"}, "observedGeneration": obj{"type": "integer", "format": "int64"}}},
	}}
	_, err := dyn.Resource(crds).Create(bg, &unstructured.Unstructured{Object: obj{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": obj{"name": "cars.go.example"},
		"spec": obj{"group": "go.example", "scope": "Namespaced", "names": obj{"plural": "cars", "kind": "Car"}, "versions": []interface{}{
			obj{"name": "v1", "served": true, "storage": true, "subresources": obj{"status": obj{}}, "schema": obj{"openAPIV3Schema": schema}}}}}}, metav1.CreateOptions{})
	must(err)
	w, err := dyn.Resource(crds).Watch(bg, metav1.ListOptions{FieldSelector: "metadata.name=cars.go.example"})
	must(err)
	for established := false; !established; {
		o := within(w.ResultChan(), "the kind").Object.(*unstructured.Unstructured)
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range conditions {
			established = established || c.(obj)["type"] == "Established" && c.(obj)["status"] == "True"
		}
	}
	w.Stop()
	ok(true, "a kind of one's own")

	stop := make(chan struct{})
	defer close(stop)
	api := dyn.Resource(cars).Namespace(ns)
	f := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dyn, 0, ns, nil)
	inf := f.ForResource(cars).Informer()
	queue := workqueue.NewRateLimitingQueue(workqueue.NewItemExponentialFailureRateLimiter(5*time.Millisecond, time.Second))
	defer queue.ShutDown()
	add := func(o interface{}) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
			queue.Add(key)
		}
	}
	inf.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o interface{}) { add(o) }, DeleteFunc: add})
	owned := informers.NewSharedInformerFactoryWithOptions(pb, 0, informers.WithNamespace(ns), informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "car" }))
	owned.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(o interface{}) {
		if cm, isMap := o.(*corev1.ConfigMap); isMap {
			queue.Add(ns + "/" + cm.Labels["car"])
		}
	}})
	f.Start(stop)
	owned.Start(stop)
	f.WaitForCacheSync(stop)
	owned.WaitForCacheSync(stop)
	for i := 0; i < 2; i++ {
		go func() {
			for {
				key, over := queue.Get()
				if over {
					return
				}
				if err := reconcile(api, inf.GetStore(), key.(string)); err != nil {
					queue.AddRateLimited(key)
				} else {
					queue.Forget(key)
				}
				queue.Done(key)
			}
		}()
	}

	for i := 0; i < 5; i++ {
		_, err := api.Create(bg, car(fmt.Sprint("c", i), int64(i)), metav1.CreateOptions{})
		must(err)
	}
	w, err = api.Watch(bg, metav1.ListOptions{})
	must(err)
	defer w.Stop()
	// Until each has the wheels that it wants; what is told last of each counts.
	settled := func(want map[string]int64) {
		done := map[string]bool{}
		for len(done) < len(want) {
			e := within(w.ResultChan(), fmt.Sprintf("cars, beyond %v", done))
			c := e.Object.(*unstructured.Unstructured)
			n, has, _ := unstructured.NestedInt64(c.Object, "status", "wheels")
			seen, _, _ := unstructured.NestedInt64(c.Object, "status", "observedGeneration")
			if has && n == want[c.GetName()] && seen == c.GetGeneration() {
				done[c.GetName()] = true
			}
		}
	}
	wheels := func(name string) int {
		return len(must1(pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{LabelSelector: "car=" + name})).Items)
	}
	settled(map[string]int64{"c0": 0, "c1": 1, "c2": 2, "c3": 3, "c4": 4})
	eq(fmt.Sprint(wheels("c0"), wheels("c1"), wheels("c4")), "0 1 4", "its controller makes what they want")
	_, err = api.Patch(bg, "c4", types.MergePatchType, []byte(`{"spec":{"wheels":7}}`), metav1.PatchOptions{})
	must(err)
	settled(map[string]int64{"c4": 7})
	eq(wheels("c4"), 7, "and follows a change")
	_, err = api.Patch(bg, "c4", types.MergePatchType, []byte(`{"spec":{"wheels":10}}`), metav1.PatchOptions{})
	ok(apierrors.IsInvalid(err), "not one that is not allowed", err)
	_, err = api.Patch(bg, "c1", types.ApplyPatchType, []byte(`{"apiVersion":"go.example/v1","kind":"Car","metadata":{"name":"c1"},"spec":{"wheels":2}}`), metav1.PatchOptions{FieldManager: "me"})
	ok(apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict), "applied by another: a conflict", err)
	maps, err := pb.CoreV1().ConfigMaps(ns).Watch(bg, metav1.ListOptions{LabelSelector: "car=c3", ResourceVersion: must1(pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{})).ResourceVersion})
	must(err)
	defer maps.Stop()
	lost := must1(pb.CoreV1().ConfigMaps(ns).List(bg, metav1.ListOptions{LabelSelector: "car=c3"})).Items[0].Name
	must(pb.CoreV1().ConfigMaps(ns).Delete(bg, lost, metav1.DeleteOptions{}))
	eq(within(maps.ResultChan(), "a wheel lost").Type, "DELETED", "one lost")
	eq(within(maps.ResultChan(), "a wheel anew").Type, "ADDED", "is made anew")
	for i := 0; i < 5; i++ {
		must(api.Delete(bg, fmt.Sprint("c", i), metav1.DeleteOptions{}))
	}
	for gone := 0; gone < 5; {
		if within(w.ResultChan(), "the cars' end").Type == "DELETED" {
			gone++
		}
	}
	eq(wheels("c2")+wheels("c4"), 0, "all go, and what is theirs before them")
	must(dyn.Resource(crds).Delete(bg, "cars.go.example", metav1.DeleteOptions{}))
}
