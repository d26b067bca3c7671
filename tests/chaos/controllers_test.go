package chaos

import (
	"encoding/base64"
	"strings"
	"testing"
)

// controller is what the tests know of one: all of them are tried on each entry of `controllers`.
type controller struct {
	name string
	// GROUP/VERSION/PLURAL of what people write, and of what it makes.
	resource string
	makes    []string
	// Reasons of `Progressing` when there is nothing to do. Nobody else acts here: no pod ever runs.
	rests []string
	// The first version, and what happens to it then. All that `prepare` makes is there before.
	first   object
	history []step
	// What the last step removes, and a patch by which the spec refers to a Secret's key `secret`.
	sheds    string
	refersTo func(secret string) object
	quiet    *quiet
}

// step is one change of a resource, as a merge patch of its spec.
type step struct {
	does string
	spec object
}

// What each test's resource is called.
const name = "main"

var controllers = []controller{{
	name:     "Platform",
	resource: "apis/windlass.dev/v1alpha1/platforms",
	makes: []string{
		"api/v1/serviceaccounts", "api/v1/configmaps", "apis/networking.k8s.io/v1/networkpolicies", "api/v1/services", "apis/apps/v1/deployments",
		"apis/policy/v1/poddisruptionbudgets", "apis/gateway.networking.k8s.io/v1/httproutes", "apis/networking.k8s.io/v1/ingresses",
	},
	rests: []string{"RollingOut", "Converged", "WaitingForChange", "Suspended"},
	first: object{
		"apiVersion": "windlass.dev/v1alpha1", "kind": "Platform", "metadata": object{"name": name},
		"spec": object{
			"images":  object{"upload": "registry.example/windlass-upload:0.1.0", "push": "registry.example/windlass-push:0.1.0"},
			"auth":    object{"hmacSecret": object{"name": "tokens", "key": "secret"}},
			"redis":   object{"external": object{"url": "redis://redis.example:6379/0"}},
			"storage": object{"s3": object{"bucket": "uploads"}},
			"routes":  object{"host": "up.example.org", "ingress": object{}, "gateway": object{"name": "public"}},
			"upload":  object{"env": []any{object{"name": "WINDLASS_LOG", "value": "debug"}}},
		},
	},
	history: []step{
		{"changes", object{
			"images": object{"upload": "registry.example/windlass-upload:0.2.0"},
			"drain":  object{"deadlineSeconds": 40},
			"upload": object{"env": nil, "replicas": 1, "podAnnotations": object{"example.org/team": "platform"}},
		}},
		{"refers to what is not there", object{"auth": object{"hmacSecret": object{"name": "nowhere"}}, "drain": object{"deadlineSeconds": 60}}},
		{"refers to what is there", object{"auth": object{"hmacSecret": object{"name": "links"}}}},
		{"shrinks", object{
			"routes": nil, "networkPolicy": object{"enabled": false},
			"upload": object{"serviceAccount": "uploader", "replicas": nil, "podAnnotations": nil},
		}},
	},
	sheds:    "ingresses",
	refersTo: func(secret string) object { return object{"auth": object{"hmacSecret": object{"name": secret}}} },
	quiet:    new(quiet),
}}

// each tries every controller.
func each(t *testing.T, try func(t *testing.T, of controller)) {
	t.Parallel()
	for _, of := range controllers {
		t.Run(of.name, func(t *testing.T) { t.Parallel(); try(t, of) })
	}
}

// prepare makes a namespace with everything that resources refer to. It goes with the cluster: there is nobody in this one
// who could remove it.
func prepare(t *testing.T) (space string) {
	t.Helper()
	space = "s-" + strings.ToLower(strings.Map(func(letter rune) rune {
		if letter >= 'a' && letter <= 'z' || letter >= 'A' && letter <= 'Z' || letter >= '0' && letter <= '9' {
			return letter
		}
		return -1
	}, strings.TrimPrefix(t.Name(), "Test")))
	space = space[:min(len(space), 40)] + numbered()
	create(t, "/api/v1/namespaces", object{"metadata": object{"name": space}})
	value := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	for secret, keys := range map[string][]string{
		"tokens": {"secret"}, "links": {"secret"}, "redis": {"password", "ca.crt"}, "bucket": {"id", "secret", "ca.crt"}, "api": {"key"},
		"issuer": {"ca.crt"}, "hooks": {"ca.crt"}, "azure": {"key"}, "oss": {"id", "secret"},
	} {
		data := object{}
		for _, key := range keys {
			data[key] = value
		}
		create(t, within(space, "api/v1/secrets"), object{"metadata": object{"name": secret}, "data": data})
	}
	create(t, within(space, "api/v1/persistentvolumeclaims"), object{"metadata": object{"name": "uploads"}, "spec": object{
		"accessModes": []any{"ReadWriteMany"}, "resources": object{"requests": object{"storage": "1Gi"}},
	}})
	return space
}

func create(t *testing.T, path string, what object) {
	t.Helper()
	if _, err := server.create(path, what); err != nil {
		t.Fatal(err)
	}
}

// make writes the first version.
func (of controller) make(t *testing.T, space string) {
	t.Helper()
	create(t, within(space, of.resource), of.first)
}

// change writes a further one.
func (of controller) change(t *testing.T, space string, spec object) {
	t.Helper()
	if _, err := server.patch(within(space, of.resource)+"/"+name, object{"spec": spec}); err != nil {
		t.Fatal(err)
	}
}

// touch changes a resource in what the operator does not read, or takes that back.
func (of controller) touch(t *testing.T, space string, how any) {
	t.Helper()
	patch := object{"metadata": object{"annotations": object{"example.org/note": how}}}
	if _, err := server.patch(within(space, of.resource)+"/"+name, patch); err != nil {
		t.Fatal(err)
	}
}

// items lists a kind in a namespace.
func items(t *testing.T, space, kind string) []any {
	t.Helper()
	listed, err := server.get(within(space, kind))
	if err != nil {
		t.Fatal(err)
	}
	return listed["items"].([]any)
}

// first is the path of one object of a kind.
func first(t *testing.T, space, kind string) string {
	t.Helper()
	return within(space, kind) + "/" + at(items(t, space, kind)[0], "metadata", "name").(string)
}

// resourceOf is the plural of a kind.
func resourceOf(kind string) string { return kind[strings.LastIndex(kind, "/")+1:] }
