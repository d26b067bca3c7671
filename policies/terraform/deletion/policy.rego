# METADATA
# title: What holds state is not lost by a plan
package windlass.terraform.deletion

import data.limits.stateful
import data.windlass.lib.plan
import data.windlass.lib.violation

# METADATA
# title: stateful-deletion
# description: The approval is bound to this very plan by its digest, and names the address.
deny contains violation.because(
	"stateful-deletion", change.address,
	sprintf("the plan %s it, and what it holds is gone", [verb(change)]),
	sprintf("keep it, or have somebody else approve exactly this: terraform/gate approve --destroy %s", [change.address]),
) if {
	some change in plan.destroyed
	change.type in stateful.types
	not approved(change)
}

# METADATA
# title: protection-off
deny contains violation.because(
	"protection-off", change.address,
	sprintf("%s is not proven %v, so a wrong call deletes it", [concat(".", wanted.path), wanted.value]),
	sprintf("set %s = %v; turn it off in a change of its own before you delete", [concat(".", wanted.path), wanted.value]),
) if {
	some type, wanted in {
		"aws_eks_cluster": {"path": ["deletion_protection"], "value": true},
		"alicloud_cs_managed_kubernetes": {"path": ["deletion_protection"], "value": true},
		"aws_db_instance": {"path": ["deletion_protection"], "value": true},
		"alicloud_db_instance": {"path": ["deletion_protection"], "value": true},
		"alicloud_kms_key": {"path": ["deletion_protection"], "value": "Enabled"},
	}
	some change in plan.remaining[type]
	not plan.is(change, wanted.path, wanted.value)
}

# METADATA
# title: force-destroy
deny contains violation.because(
	"force-destroy", change.address,
	"deleting the bucket would delete every object in it without asking",
	"leave force_destroy out; empty the bucket by hand before you delete it",
) if {
	some type in {"aws_s3_bucket", "alicloud_oss_bucket", "aws_route53_zone"}
	some change in plan.remaining[type]
	plan.is(change, ["force_destroy"], true)
}

verb(change) := "replaces" if "create" in change.change.actions

verb(change) := "deletes" if not "create" in change.change.actions

approved(change) if {
	input.approval.digest == input.digest
	change.address in input.approval.destroys
	input.approval.approver != input.context.author
}
