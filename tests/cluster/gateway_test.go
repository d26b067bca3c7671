package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"windlass/tests/cluster/harness"
)

func TestRoutesOfBothKindsLeadFromTheMachineToThePods(t *testing.T) {
	space := harness.Namespace(t, spread)
	harness.Create(t, spread, space, deployment("web", 2)+service("web")+`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec:
  parentRefs: [{ name: public, namespace: gateways }]
  hostnames: [route.example]
  rules: [{ backendRefs: [{ name: web, port: 80 }] }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web }
spec:
  ingressClassName: contour
  rules: [{ host: ingress.example, http: { paths: [
    { path: /other, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } },
    { path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] } }]
`)
	gateway := harness.Run(t, "gateway", spread)
	for _, way := range []struct{ to, host string }{
		{gateway, "route.example"}, {gateway, "ingress.example"}, {publishedAddress, "route.example"},
	} {
		harness.Eventually(t, func() error {
			if answer, err := ask(way.to, way.host); err != nil || !strings.HasPrefix(answer, "web-") {
				return fmt.Errorf("%s by %s: %q, %v", way.host, way.to, answer, err)
			}
			return nil
		})
	}
	if answer, err := ask(gateway, "nobody.example"); err != nil || strings.HasPrefix(answer, "web-") {
		t.Errorf("a host without a route: %q, %v", answer, err)
	}
	accepted := harness.Kube(t, spread, "-n", space, "get", "httproute", "web", "--output",
		`jsonpath={.status.parents[0].conditions[?(@.type=="Accepted")].status}`)
	if accepted != "True" {
		t.Errorf("the HTTPRoute is accepted: %s", accepted)
	}
}

// ask asks an address for the page of a host, over a connection of its own.
func ask(address, host string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	request.Host, request.Close = host, true
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// freePort is one of 127.0.0.1 that nobody listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
