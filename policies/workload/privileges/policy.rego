# METADATA
# title: A container has no rights that it does not need
# description: A setting that is left out is taken as its default, which is never the safe one.
package windlass.workload.privileges

import data.windlass.lib.pods
import data.windlass.lib.violation

# METADATA
# title: privileged
deny contains violation.because(
	"privileged", entry.subject,
	"it is privileged: whoever breaks into it has the node",
	"remove privileged; what needs a node's rights is a node agent (terraform/ansible), not a chart",
) if {
	some entry in pods.containers
	setting(entry, "privileged", false) != false
}

# METADATA
# title: runs-as-root
deny contains violation.because(
	"runs-as-root", entry.subject,
	"it may run as root",
	"set runAsNonRoot: true, and runAsUser to the image's user",
) if {
	some entry in pods.containers
	not as_somebody(entry)
}

# METADATA
# title: writable-root
deny contains violation.because(
	"writable-root", entry.subject,
	"its file system can be written, so what breaks in can stay",
	"set readOnlyRootFilesystem: true and mount an emptyDir where it writes",
) if {
	some entry in pods.containers
	setting(entry, "readOnlyRootFilesystem", false) != true
}

# METADATA
# title: may-escalate
deny contains violation.because(
	"may-escalate", entry.subject,
	"it may gain rights that it did not start with",
	"set allowPrivilegeEscalation: false",
) if {
	some entry in pods.containers
	setting(entry, "allowPrivilegeEscalation", true) != false
}

# METADATA
# title: capabilities-kept
deny contains violation.because(
	"capabilities-kept", entry.subject,
	"it keeps or adds capabilities of the kernel",
	"set capabilities: { drop: [ALL] } and add none; ports below 1024 are the Service's business",
) if {
	some entry in pods.containers
	not dropped(setting(entry, "capabilities", {}))
}

# METADATA
# title: seccomp-off
deny contains violation.because(
	"seccomp-off", entry.subject,
	"no seccomp profile limits which system calls it makes",
	"set seccompProfile: { type: RuntimeDefault } on the pod",
) if {
	some entry in pods.containers
	profile := inherited(entry, "seccompProfile", {})
	not object.get(profile, "type", "Unconfined") in {"RuntimeDefault", "Localhost"}
}

setting(entry, name, fallback) := object.get(entry.container, ["securityContext", name], fallback)

# A container's own setting, else its pod's.
inherited(entry, name, fallback) := setting(entry, name, object.get(entry.pod, ["securityContext", name], fallback))

as_somebody(entry) if {
	inherited(entry, "runAsNonRoot", false) == true
	inherited(entry, "runAsUser", 1) != 0
}

dropped(capabilities) if {
	"ALL" in object.get(capabilities, "drop", [])
	count(object.get(capabilities, "add", [])) == 0
}
