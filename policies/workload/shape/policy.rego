# METADATA
# title: Manifests that can be judged
package windlass.workload.shape

import data.windlass.lib.pods
import data.windlass.lib.violation

# METADATA
# title: manifests-missing
deny contains violation.because(
	"manifests-missing", "input",
	"there are no manifests, so nothing was checked",
	"pass every rendered object as {manifests: […]}; terraform/gate manifests does",
) if {
	not some_manifests
}

# METADATA
# title: pod-unreadable
deny contains violation.because(
	"pod-unreadable", pod.subject,
	"it starts pods, and has no containers where they belong",
	"render the chart again; a workload without spec.template.spec.containers is not one",
) if {
	some pod in pods.pods
	count(object.get(pod.spec, "containers", [])) == 0
}

# METADATA
# title: kind-unknown
# description: A kind that these policies do not know could start pods that nobody looked at.
deny contains violation.because(
	"kind-unknown", sprintf("%v/%v", [object.get(manifest, "kind", "?"), object.get(manifest, ["metadata", "name"], "?")]),
	"no policy knows this kind, so nobody can say that it starts nothing",
	"add the kind to policies/limits/kinds.json if it starts no pods, else to policies/lib/pods.rego",
) if {
	some manifest in input.manifests
	not known(object.get(manifest, "kind", null))
}

some_manifests if count(input.manifests) > 0

known(kind) if kind in object.keys(pods.pod_paths)

known(kind) if kind in data.limits.kinds.without_pods
