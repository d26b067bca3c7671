// Felix, the part of Calico that enforces NetworkPolicy on one node. Configured by FELIX_* in its environment.
package main

import "github.com/projectcalico/calico/felix/daemon"

func main() {
	// The three strings only say in its log what was built.
	daemon.Run("", "tests/cluster", "", "")
}
