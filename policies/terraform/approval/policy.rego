# METADATA
# title: What is applied is what somebody else approved
# description: Only at the stage `apply`; a review needs no approval. The digest is the SHA-256 of the plan file itself.
package windlass.terraform.approval

import data.limits.approval as limits
import data.windlass.lib.violation

# METADATA
# title: approval-missing
deny contains violation.because(
	"approval-missing", "plan",
	"nobody has approved this plan",
	"have somebody who is not the author run terraform/gate approve ROOT",
) if {
	input.stage != "review"
	not is_object(input.approval)
}

# METADATA
# title: approval-of-another-plan
deny contains violation.because(
	"approval-of-another-plan", "plan",
	"the approval is for a plan with another digest; planning again voids an approval",
	"apply the approved plan file, or have this one approved",
) if {
	input.stage != "review"
	is_object(input.approval)
	not same_plan
}

# METADATA
# title: approval-by-author
deny contains violation.because(
	"approval-by-author", "plan",
	"author and approver are the same person, or one of them is not known",
	"have somebody else approve it",
) if {
	input.stage != "review"
	is_object(input.approval)
	not two_people
}

# METADATA
# title: approval-expired
deny contains violation.because(
	"approval-expired", "plan",
	sprintf("the approval is older than %d hours, or its time is not known: the world has moved on", [limits.valid_hours]),
	"plan again and have the new plan approved",
) if {
	input.stage != "review"
	is_object(input.approval)
	not fresh
}

same_plan if {
	count(input.digest) == 64
	input.approval.digest == input.digest
}

two_people if {
	count(input.approval.approver) > 0
	count(input.context.author) > 0
	input.approval.approver != input.context.author
}

fresh if {
	age := time.parse_rfc3339_ns(input.now) - time.parse_rfc3339_ns(input.approval.at)
	age >= 0
	age <= ((limits.valid_hours * 3600) * 1000) * 1000000
}
