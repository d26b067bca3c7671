# METADATA
# title: A tenant is alone in its namespace
# description: |
#   The input is `{tenant: {name, namespace}, objects: […]}`, everything that makes the tenant.
package windlass.tenant.isolation

import data.limits.tenants as limits
import data.windlass.lib.violation

# METADATA
# title: tenant-unknown
deny contains violation.because(
	"tenant-unknown", "input",
	"tenant and namespace are not named, so nothing in the objects can be compared with them",
	"pass {tenant: {name, namespace}, objects}",
) if {
	not named
}

# METADATA
# title: pod-security-missing
deny contains violation.because(
	"pod-security-missing", input.tenant.namespace,
	"the namespace does not enforce the restricted pod security standard",
	"label it pod-security.kubernetes.io/enforce: restricted",
) if {
	not enforced
}

# METADATA
# title: default-deny-missing
deny contains violation.because(
	"default-deny-missing", input.tenant.namespace,
	sprintf("no NetworkPolicy closes %s for all pods, so a new pod is open until somebody remembers it", [direction]),
	"add a NetworkPolicy with an empty podSelector, policyTypes [Ingress, Egress] and no rules",
) if {
	some direction in ["Ingress", "Egress"]
	not closed(direction)
}

# METADATA
# title: quota-missing
deny contains violation.because(
	"quota-missing", input.tenant.namespace,
	sprintf("%s is not limited, so this tenant can take it from the others", [resource]),
	sprintf("add a ResourceQuota with hard[%s]", [resource]),
) if {
	some resource in limits.quota
	not limited(resource)
}

# METADATA
# title: opened-to-others
deny contains violation.because(
	"opened-to-others", sprintf("NetworkPolicy/%s", [policy.metadata.name]),
	"it lets in pods of namespaces that are neither the tenant's nor the platform's",
	sprintf("select namespaces by kubernetes.io/metadata.name, one of %v", [permitted_namespaces]),
) if {
	some policy in of_kind("NetworkPolicy")
	some rule in policy.spec.ingress
	some peer in sources(rule)
	not known_source(peer)
}

# METADATA
# title: too-many-rights
deny contains violation.because(
	"too-many-rights", sprintf("RoleBinding/%s", [binding.metadata.name]),
	sprintf("it gives %s, whose rights reach past the namespace's own objects", [binding.roleRef.name]),
	"bind the role admin or a Role of the namespace",
) if {
	some binding in of_kind("RoleBinding")
	binding.roleRef.kind == "ClusterRole"
	not object.get(binding.roleRef, "name", "") in limits.cluster_roles
}

# METADATA
# title: object-elsewhere
deny contains violation.because(
	"object-elsewhere", sprintf("%s/%s", [item.kind, item.metadata.name]),
	"it is not in the tenant's namespace",
	"put it there, or leave it to the platform's own release",
) if {
	some item in input.objects
	item.kind != "Namespace"
	object.get(item, ["metadata", "namespace"], "") != input.tenant.namespace
}

named if {
	count(input.tenant.name) > 0
	is_string(input.tenant.namespace)
}

enforced if {
	some namespace in input.objects
	namespace.kind == "Namespace"
	namespace.metadata.name == input.tenant.namespace
	namespace.metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"
}

closed(direction) if {
	some policy in of_kind("NetworkPolicy")
	object.get(policy.spec, "podSelector", {}) == {}
	direction in object.get(policy.spec, "policyTypes", ["Ingress"])
	object.get(policy.spec, lower(direction), []) == []
}

limited(resource) if {
	some quota in of_kind("ResourceQuota")
	quota.spec.hard[resource]
}

# A rule without `from` lets everybody in: one source that nobody knows.
sources(rule) := rule.from if count(object.get(rule, "from", [])) > 0

sources(rule) := [{"everybody": true}] if count(object.get(rule, "from", [])) == 0

known_source(peer) if {
	not peer.namespaceSelector
	not peer.ipBlock
	is_object(peer.podSelector)
}

known_source(peer) if peer.namespaceSelector.matchLabels["kubernetes.io/metadata.name"] in permitted_namespaces

permitted_namespaces := array.concat([input.tenant.namespace], limits.platform_namespaces)

of_kind(kind) := [item |
	some item in input.objects
	item.kind == kind
	item.metadata.namespace == input.tenant.namespace
]
