package chaos

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"time"

	"windlass/tests/cluster/harness"
)

// object is anything that the API server stores.
type object = map[string]any

// api speaks to the cluster's API server as its administrator: for the tests, and for the proxies.
type api struct {
	server    string
	transport *http.Transport
}

// connect reads the cluster's kubeconfig.
func connect(cluster string) (*api, error) {
	output, err := harness.Command("kubectl", cluster, "config", "view", "--raw", "--output=json").Output()
	if err != nil {
		complaint := []byte(nil)
		if ended, is := err.(*exec.ExitError); is {
			complaint = ended.Stderr
		}
		return nil, fmt.Errorf("kubectl config view: %w: %s", err, complaint)
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server    string
				Authority []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			}
		}
	}
	if err := json.Unmarshal(output, &config); err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(config.Users[0].User.Certificate, config.Users[0].User.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Clusters[0].Cluster.Authority)
	return &api{config.Clusters[0].Cluster.Server, &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}},
	}}, nil
}

// do sends one request; an answer that is not a success is an error that says what was answered.
func (a *api) do(method, path, media string, body any) (object, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, a.server+path, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", media)
	response, err := (&http.Client{Transport: a.transport, Timeout: requestLimit}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		return nil, refusal{response.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, response.Status, content)}
	}
	var answer object
	return answer, json.Unmarshal(content, &answer)
}

// refusal is an answer that says no.
type refusal struct {
	status int
	says   string
}

func (r refusal) Error() string { return r.says }

func (a *api) get(path string) (object, error) { return a.do("GET", path, plain, nil) }
func (a *api) create(path string, what object) (object, error) {
	return a.do("POST", path, plain, what)
}
func (a *api) patch(path string, what object) (object, error) {
	return a.do("PATCH", path, "application/merge-patch+json", what)
}
func (a *api) remove(path string) (object, error) { return a.do("DELETE", path, plain, nil) }

const (
	plain = "application/json"
	// A machine that is busy with all tests at once answers in a second.
	requestLimit = 30 * time.Second
)

// at leads into an object by field names; what is not there is nil.
func at(value any, path ...string) any {
	for _, name := range path {
		fields, _ := value.(object)
		value = fields[name]
	}
	return value
}
