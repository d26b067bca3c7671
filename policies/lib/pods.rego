# METADATA
# title: Reading rendered manifests
# description: |
#   The input is `{manifests: […]}`, all that a release renders, because some rules need to see two objects at once.
package windlass.lib.pods

# Kinds that start pods, and where their pod is.
pod_paths := {
	"Pod": ["spec"],
	"Deployment": ["spec", "template", "spec"],
	"StatefulSet": ["spec", "template", "spec"],
	"DaemonSet": ["spec", "template", "spec"],
	"ReplicaSet": ["spec", "template", "spec"],
	"Job": ["spec", "template", "spec"],
	"CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
}

label_paths := {
	"Pod": ["metadata", "labels"],
	"Deployment": ["spec", "template", "metadata", "labels"],
	"StatefulSet": ["spec", "template", "metadata", "labels"],
	"DaemonSet": ["spec", "template", "metadata", "labels"],
	"ReplicaSet": ["spec", "template", "metadata", "labels"],
	"Job": ["spec", "template", "metadata", "labels"],
	"CronJob": ["spec", "jobTemplate", "spec", "template", "metadata", "labels"],
}

pods contains {
	"subject": subject(manifest),
	"namespace": namespace(manifest),
	"labels": object.get(manifest, label_paths[manifest.kind], {}),
	"spec": object.get(manifest, pod_paths[manifest.kind], {}),
} if {
	some manifest in input.manifests
	manifest.kind in object.keys(pod_paths)
}

# Containers of every kind: one that only starts, or only debugs, can do the same harm.
containers contains {"subject": sprintf("%s container %s", [pod.subject, container.name]), "pod": pod.spec, "container": container} if {
	some pod in pods
	some field in ["containers", "initContainers", "ephemeralContainers"]
	some container in object.get(pod.spec, field, [])
}

subject(manifest) := sprintf("%s/%s", [manifest.kind, manifest.metadata.name])

namespace(manifest) := object.get(manifest, ["metadata", "namespace"], "default")
