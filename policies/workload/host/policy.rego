# METADATA
# title: A pod stays inside
package windlass.workload.host

import data.windlass.lib.pods
import data.windlass.lib.violation

# METADATA
# title: host-namespace
deny contains violation.because(
	"host-namespace", pod.subject,
	sprintf("%s: it sees the node's processes or network as its own", [field]),
	sprintf("remove %s", [field]),
) if {
	some pod in pods.pods
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	object.get(pod.spec, field, false) != false
}

# METADATA
# title: host-path
deny contains violation.because(
	"host-path", pod.subject,
	sprintf("volume %s is a folder of the node", [volume.name]),
	"use a PersistentVolumeClaim, an emptyDir or a ConfigMap",
) if {
	some pod in pods.pods
	some volume in pod.spec.volumes
	is_object(volume.hostPath)
}

# METADATA
# title: host-port
deny contains violation.because(
	"host-port", entry.subject,
	"it takes a port of the node, past every NetworkPolicy",
	"remove hostPort and use a Service",
) if {
	some entry in pods.containers
	some port in entry.container.ports
	object.get(port, "hostPort", 0) != 0
}
