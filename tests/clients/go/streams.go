// Streams to containers as client-go has them: exec and attach over SPDY, port-forward, logs; and an eviction.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

func run(stdin io.Reader, tty bool, command ...string) (string, string, error) {
	req := cs.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("web").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdin: stdin != nil, Stdout: true, Stderr: !tty, TTY: tty}, scheme.ParameterCodec)
	e, err := remotecommand.NewSPDYExecutor(config, "POST", req.URL())
	must(err)
	var out, errs bytes.Buffer
	o := remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &errs, Tty: tty}
	if tty {
		o.Stderr = nil
	}
	err = e.Stream(o)
	return out.String(), errs.String(), err
}

func streams() {
	for _, p := range []corev1.Container{{Name: "web"}, {Name: "cat", Stdin: true, Command: []string{"sh", "-c", `while read -r x; do echo "got $x"; done`}}} {
		p.Image = "localhost/hello:1"
		secs := int64(1)
		_, err := pb.CoreV1().Pods(ns).Create(bg, &corev1.Pod{ObjectMeta: named(p.Name, nil), Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &secs, Containers: []corev1.Container{p}}}, metav1.CreateOptions{})
		must(err)
	}
	w, err := pb.CoreV1().Pods(ns).Watch(bg, metav1.ListOptions{})
	must(err)
	defer w.Stop()
	for ready := map[string]bool{}; len(ready) < 2; {
		p := within(w.ResultChan(), "pods").Object.(*corev1.Pod)
		for _, c := range p.Status.Conditions {
			if c.Type == "Ready" && c.Status == "True" {
				ready[p.Name] = true
			}
		}
	}
	out, errs, err := run(nil, false, "sh", "-c", "echo out; echo err >&2")
	ok(err == nil && out == "out\n" && errs == "err\n", "exec", out, errs, err)
	_, _, err = run(nil, false, "sh", "-c", "exit 7")
	code, is := err.(exec.CodeExitError)
	ok(is && code.Code == 7, "its exit code", err)
	_, _, err = run(nil, false, "nosuchprogram")
	ok(err != nil && strings.Contains(err.Error(), "nosuchprogram"), "a program that is not there", err)
	big := strings.Repeat("0123456789", 300000)
	out, _, err = run(strings.NewReader(big), false, "cat")
	ok(err == nil && out == big, "its input, and back", len(out), err)
	out, _, err = run(nil, true, "sh", "-c", "[ -t 1 ] && echo terminal")
	ok(err == nil && out == "terminal\r\n", "on a terminal", out, err)

	req := cs.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("cat").SubResource("attach").
		VersionedParams(&corev1.PodAttachOptions{Stdin: true, Stdout: true}, scheme.ParameterCodec)
	e, err := remotecommand.NewSPDYExecutor(config, "POST", req.URL())
	must(err)
	in, input := io.Pipe()
	output, to := io.Pipe()
	go e.Stream(remotecommand.StreamOptions{Stdin: in, Stdout: to})
	fmt.Fprintln(input, "hello")
	line := make([]byte, 10)
	_, err = io.ReadFull(output, line)
	eq(string(line), "got hello\n", "attach")
	input.Close()

	body, err := cs.CoreV1().Pods(ns).GetLogs("cat", &corev1.PodLogOptions{Follow: true}).Stream(bg)
	must(err)
	_, err = io.ReadFull(body, line)
	must(err)
	eq(string(line), "got hello\n", "logs that follow")
	body.Close()

	rt, upgrader, err := spdy.RoundTripperFor(config)
	must(err)
	url := cs.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("web").SubResource("portforward").URL()
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.NewOnAddresses(spdy.NewDialer(upgrader, &http.Client{Transport: rt}, "POST", url), []string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	must(err)
	ended := make(chan error, 1)
	go func() { ended <- f.ForwardPorts() }()
	within(ready, "the port")
	ports, err := f.GetPorts()
	must(err)
	for _, which := range []string{"a port forwarded", "and once more"} {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", ports[0].Local))
		must(err)
		fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
		page, _ := io.ReadAll(c)
		ok(strings.Contains(string(page), "Hello from web"), which, string(page))
		c.Close()
	}
	close(stop)
	ok(within(ended, "the forwarder's end") == nil, "and its end")

	p, err := pb.CoreV1().Pods(ns).Get(bg, "web", metav1.GetOptions{})
	must(err)
	ok(p.Status.PodIP != "" && p.Status.QOSClass == "BestEffort" && p.Status.ContainerStatuses[0].State.Running != nil, "a pod's status", p.Status)
	err = pb.CoreV1().Pods(ns).Evict(bg, &policyv1beta1.Eviction{ObjectMeta: named("web", nil)})
	ok(err == nil, "an eviction", err)
}
