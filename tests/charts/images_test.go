package charts

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"windlass/tests/cluster/harness"
)

// What the services and the one client share; at least 32 bytes.
const secret = "a secret of tests, of no use elsewhere"

var (
	//go:embed files/images.yaml
	imagePods string
	//go:embed files/put.yaml
	putPod string
)

func TestTheImagesTakeAnUploadUnprivilegedAndOnAReadOnlyRoot(t *testing.T) {
	t.Parallel()
	space := harness.Namespace(t, cluster)
	// The API server refuses every pod there that could have more rights.
	harness.Kube(t, cluster, "label", "namespace", space, "pod-security.kubernetes.io/enforce=restricted")
	harness.Create(t, cluster, space, strings.ReplaceAll(imagePods, "$SECRET", secret))
	harness.AwaitPods(t, cluster, space)
	for _, service := range []string{"windlass-upload", "windlass-push"} {
		address := harness.Kube(t, cluster, "-n", space, "get", "pod", service, "--output", "jsonpath={.status.podIP}")
		if answer := harness.Fetch(t, cluster, space, "client", "http://"+address+":9090/healthz"); !strings.Contains(answer, `"alive"`) {
			t.Errorf("%s: %q", service, answer)
		}
	}
	// A Service's rules reach a node a moment after its pods are ready; the client tries again until then.
	harness.Create(t, cluster, space, strings.ReplaceAll(putPod, "$TOKEN", token()))
	harness.Eventually(t, func() error {
		if phase := harness.Kube(t, cluster, "-n", space, "get", "pod", "put", "--output", "jsonpath={.status.phase}"); phase != "Succeeded" {
			return fmt.Errorf("%s: %s", phase, harness.Kube(t, cluster, "-n", space, "get", "pod", "put", "--output", "jsonpath={.status}"))
		}
		return nil
	})
	if said := harness.Kube(t, cluster, "-n", space, "logs", "put"); !strings.Contains(said, "\t/etc/ssl/certs/ca-certificates.crt") {
		t.Fatal(said)
	}
}

// token is a login for an hour.
func token() string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"sub":"test","exp":%d}`, time.Now().Add(time.Hour).Unix())
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}
