# METADATA
# title: Every pod has a network policy
package windlass.workload.network

import data.windlass.lib.pods
import data.windlass.lib.violation

# METADATA
# title: network-policy-missing
deny contains violation.because(
	"network-policy-missing", pod.subject,
	sprintf("no NetworkPolicy of namespace %s selects it for %s, so everything may speak with it", [pod.namespace, direction]),
	"render a NetworkPolicy whose podSelector matches its labels, for Ingress and Egress",
) if {
	some pod in pods.pods
	some direction in ["Ingress", "Egress"]
	not selected(pod, direction)
}

selected(pod, direction) if {
	some manifest in input.manifests
	manifest.kind == "NetworkPolicy"
	pods.namespace(manifest) == pod.namespace
	direction in object.get(manifest.spec, "policyTypes", ["Ingress"])
	selector := object.get(manifest.spec, "podSelector", {})
	object.get(selector, "matchExpressions", []) == []
	every label, value in object.get(selector, "matchLabels", {}) {
		pod.labels[label] == value
	}
}
