# METADATA
# title: A plan that can be judged
# description: Whatever cannot be read is denied here, because no other rule would find anything wrong in it.
package windlass.terraform.shape

import data.windlass.lib.violation

# METADATA
# title: plan-unreadable
deny contains violation.because(
	"plan-unreadable", "plan",
	"the input has no list of resource changes in plan format 1, so nothing in it was checked",
	"pass the output of `terraform show -json PLAN`, not text and not the state",
) if {
	not readable
}

# METADATA
# title: plan-errored
deny contains violation.because(
	"plan-errored", "plan",
	"Terraform stopped while planning, so the plan may not list all that it changes",
	"repair the error that `terraform plan` printed and plan again",
) if {
	object.get(input, ["plan", "errored"], false) != false
}

# METADATA
# title: context-missing
deny contains violation.because(
	"context-missing", "input",
	"cloud, region and stage of the change are not known, so rules that depend on them cannot decide",
	"run terraform/gate policy, which fills them in, or pass {context: {cloud, region}, stage: review|apply}",
) if {
	not complete_context
}

readable if {
	startswith(input.plan.format_version, "1.")
	is_array(input.plan.resource_changes)
}

complete_context if {
	input.context.cloud in {"aws", "alicloud"}
	is_string(input.context.region)
	input.stage in {"review", "apply"}
}
