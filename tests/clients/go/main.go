// What programs written with client-go do, against the API server that KUBECONFIG names: each file is a group of it. Only
// what client-go has had since 0.20 is used, so that one program tries all of its releases. Run by ../go.sh; prints TAP.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const ns = "client-go"

var (
	config *rest.Config          // JSON
	pbConf *rest.Config          // protobuf where it can be had
	cs     *kubernetes.Clientset // of config
	pb     *kubernetes.Clientset // of pbConf
	dyn    dynamic.Interface
	bg     = context.Background()
	points int
	bad    int
	lock   sync.Mutex
	warned warnings // to the client of JSON
)

func ok(good bool, name string, why ...interface{}) bool {
	lock.Lock()
	defer lock.Unlock()
	points++
	if good {
		fmt.Printf("ok %d - %s\n", points, name)
		return true
	}
	bad++
	fmt.Printf("not ok %d - %s\n", points, name)
	for _, w := range why {
		text := fmt.Sprintf("%+v", w)
		if len(text) > 3000 {
			text = text[:3000]
		}
		fmt.Println("#   " + strings.ReplaceAll(text, "\n", "\n#   "))
	}
	return false
}

func eq(got, want interface{}, name string) bool {
	g, w := fmt.Sprintf("%v", got), fmt.Sprintf("%v", want)
	return ok(g == w, name, "got  "+g, "want "+w)
}

// What cannot go on: the group ends, the others still run.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func group(name string, fn func()) {
	defer func() {
		if r := recover(); r != nil {
			ok(false, name+" ran to its end", r)
		}
	}()
	fn()
}

// Receives from a channel, or gives up: for what would otherwise hang until the runner kills it.
func within[T any](c <-chan T, what string) T {
	select {
	case v := <-c:
		return v
	case <-time.After(60 * time.Second):
		panic("waited in vain for " + what)
	}
}

func named(name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: ns, Labels: labels}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: named(name, map[string]string{"of": "test"}), Data: data}
}

func main() {
	var err error
	config, err = clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err)
	config.WarningHandler = &warned
	config.QPS, config.Burst = 1000, 1000
	pbConf = rest.CopyConfig(config)
	pbConf.ContentType = "application/vnd.kubernetes.protobuf"
	pbConf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	cs = kubernetes.NewForConfigOrDie(config)
	pb = kubernetes.NewForConfigOrDie(pbConf)
	dyn = dynamic.NewForConfigOrDie(config)

	group("discovery", discover)
	group("objects", objects)
	group("kinds in both encodings", encodings)
	group("refusals", refusals)
	group("lists", lists)
	group("conflicts", conflicts)
	group("patches", patches)
	group("informers", informed)
	group("metadata", metadataOnly)
	group("leader election", elections)
	group("events", recorded)
	group("a controller", controller)
	if os.Getenv("PODS") != "" {
		group("streams", streams)
	}
	group("the end", func() {
		must(pb.CoreV1().Namespaces().Delete(bg, ns, metav1.DeleteOptions{}))
		w, err := pb.CoreV1().Namespaces().Watch(bg, metav1.ListOptions{FieldSelector: "metadata.name=" + ns})
		must(err)
		defer w.Stop()
		for e := within(w.ResultChan(), "the namespace's end"); e.Type != "DELETED"; e = within(w.ResultChan(), "the namespace's end") {
		}
		ok(true, "the namespace goes")
	})
	fmt.Printf("1..%d\n", points)
	if bad != 0 {
		os.Exit(1)
	}
}
