# METADATA
# title: Nothing is larger than was agreed
package windlass.terraform.size

import data.limits.sizes
import data.windlass.lib.plan
import data.windlass.lib.violation

# METADATA
# title: instance-type-not-allowed
deny contains violation.because(
	"instance-type-not-allowed", change.address,
	sprintf("instance type %s is of no agreed family", [type]),
	sprintf("use a type of the families %v, or have one added to policies/limits/sizes.json", [sizes.instance_families]),
) if {
	some kind in {"aws_eks_node_group", "alicloud_cs_kubernetes_node_pool"}
	some change in plan.remaining[kind]
	some type in change.change.after.instance_types
	not agreed(type)
}

# METADATA
# title: instance-types-unknown
deny contains violation.because(
	"instance-types-unknown", change.address,
	"which instances it starts is known only after apply, or not set",
	"write instance_types as a list that is known when planning",
) if {
	some kind in {"aws_eks_node_group", "alicloud_cs_kubernetes_node_pool"}
	some change in plan.remaining[kind]
	count(object.get(change.change.after, "instance_types", [])) == 0
}

# METADATA
# title: too-many-nodes
deny contains violation.because(
	"too-many-nodes", change.address,
	sprintf("it may grow past %d nodes, or it is not known how far", [sizes.nodes_per_group]),
	sprintf("set max_size to %d or less, or split the group", [sizes.nodes_per_group]),
) if {
	some kind in {"aws_eks_node_group", "alicloud_cs_kubernetes_node_pool"}
	some change in plan.remaining[kind]
	not bounded(change)
}

agreed(type) if {
	some family in sizes.instance_families
	startswith(type, family)
}

bounded(change) if change.change.after.scaling_config[0].max_size <= sizes.nodes_per_group
