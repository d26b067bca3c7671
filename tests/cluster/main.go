// A real Kubernetes on this machine, for tests: one command brings clusters up and takes them down.
//
// Only the standard library and the project's own writer of images are used, so the command is built in seconds while
// Kubernetes itself, in the modules beside this one, is built once. Each cluster is one tree of processes under one PID 1
// in namespaces of its own (init.go). What the tests must not leave behind is therefore the kernel's to clean up, not this
// program's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// What the command is when it is started under this name: the CNI plugin of the nodes.
const pluginName = "pod-veth"

type verb struct {
	usage string
	help  string
	run   func(arguments []string) error
}

// In the order in which `--help` lists them.
var verbs = []struct {
	name string
	verb
}{
	{"up", verb{"[--nodes N] [--policies] [--gateway] [--publish PORT] [--foreground] [NAME]", "brings a cluster up, and returns once it is Ready", up}},
	{"down", verb{"[--all | NAME…]", "takes clusters down, and sweeps up after those that were killed", down}},
	{"list", verb{"", "shows the clusters, with their nodes and the memory they use", list}},
	{"kubeconfig", verb{"[NAME]", "prints the path of a cluster's kubeconfig", kubeconfig}},
	{"gateway", verb{"[NAME]", "prints the address of a cluster's gateway", gateway}},
	{"kubectl", verb{"NAME ARGUMENT…", "runs kubectl, of the cluster's own version, as its administrator", kubectl}},
	{"image", verb{"NAME ARCHIVE PATH=FILE… -- ENTRYPOINT…", "makes a docker-archive from local files, without a registry", image}},
	{"load", verb{"NAME ARCHIVE…", "gives the images of docker-archives to every node", load}},
	{"connect", verb{"NAME NAME", "lets the pods of two clusters reach each other", connect}},
	{"disconnect", verb{"NAME NAME", "ends that", disconnect}},
	{"enforcement", verb{"[NAME]", "tries a NetworkPolicy out: prints Enforced or NotEnforced", enforcement}},
}

// Started by this program itself: PID 1 of a cluster or node, and what runs in the pods of a test.
var inner = map[string]func(arguments []string) error{
	"init":  runInit,
	"serve": serve,
	"fetch": fetch,
}

func main() {
	if filepath.Base(os.Args[0]) == pluginName {
		exit(renameVeth())
	}
	if len(os.Args) < 2 || os.Args[1] == "--help" || os.Args[1] == "-h" || os.Args[1] == "help" {
		help()
		return
	}
	name, arguments := os.Args[1], os.Args[2:]
	if run, found := inner[name]; found {
		exit(run(arguments))
	}
	for _, candidate := range verbs {
		if candidate.name == name {
			exit(candidate.run(arguments))
		}
	}
	exit(fmt.Errorf("no verb %q; --help lists them", name))
}

func exit(err error) {
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	os.Exit(1)
}

func help() {
	fmt.Println("Real Kubernetes clusters on this machine, for tests. Needs root and Linux; tests/cluster/README.md says more.")
	fmt.Println()
	for _, verb := range verbs {
		fmt.Printf("  cluster %-12s%s\n  %20s%s\n", verb.name, verb.usage, "", verb.help)
	}
	fmt.Println()
	fmt.Printf("NAME is %q unless given. With KUBECONFIG set, the cluster it names is used: `up` checks that it answers,\n", defaultName)
	fmt.Println("`kubeconfig` and `kubectl` speak to it, `down` leaves it alone. With --foreground the cluster lives as long as")
	fmt.Println("the command and its standard input: whoever starts it cannot leave it behind, however it ends.")
	fmt.Println()
	fmt.Println("Environment: WINDLASS_KUBERNETES, WINDLASS_FELIX, WINDLASS_GATEWAY and WINDLASS_ENVOY, folders of what is built or")
	fmt.Printf("installed (tests/cluster/run sets them); WINDLASS_CLUSTERS, where clusters keep their files (%s).\n", defaultRoot)
}
