// Package chaos tries the operator in a world that fails: killed before and after each of its writes, told of nothing or of
// what has long passed, refused, cut off, replaced; and looks whether the world comes to be as it is without all that.
//
// The API server and etcd are real, and are all there is of the cluster: whatever is written, the operator wrote it.
package chaos

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"windlass/tests/cluster/harness"
)

const (
	cluster     = "t-chaos"
	definitions = "../../charts/windlass-operator/files/crds"
)

// The API server, for all tests.
var server *api

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// The machine's own cluster is not meant.
		os.Unsetenv("KUBECONFIG")
		running, err := harness.Start("--nodes=0", cluster)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer running.End()
		line, err := running.Ready()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Print(line)
		for _, arguments := range [][]string{
			{"apply", "--server-side", "-f", definitions, "-f", "files"},
			{"wait", "--for=condition=Established", "--timeout=60s", "-f", definitions, "-f", "files"},
		} {
			if output, err := harness.Command(append([]string{"kubectl", cluster}, arguments...)...).CombinedOutput(); err != nil {
				fmt.Printf("%v: %v: %s", arguments, err, output)
				return 1
			}
		}
		if server, err = connect(cluster); err != nil {
			fmt.Println(err)
			return 1
		}
		return m.Run()
	}())
}

var numbers atomic.Int32

// numbered is another text each time.
func numbered() string { return "-" + strconv.Itoa(int(numbers.Add(1))) }
