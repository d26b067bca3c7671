# METADATA
# title: What a decision log must not hold
# description: |
#   JSON pointers into the log event, as OPA's `data.system.log.mask`. Plans hold sensitive values in clear text, and
#   so do Secrets.
package system.log

mask contains sprintf("/input/plan/%s", [part]) if {
	some part in ["prior_state", "planned_values", "variables", "output_changes", "resource_drift"]
	input.input.plan[part]
}

mask contains sprintf("/input/plan/resource_changes/%d/change/%s", [index, side]) if {
	some index, change in input.input.plan.resource_changes
	some side in ["before", "after"]
	some _, sensitive in object.get(change.change, sprintf("%s_sensitive", [side]), {})
	sensitive == true
}

mask contains sprintf("/input/%s/%d/%s", [list, index, field]) if {
	some list in ["manifests", "objects"]
	some index, manifest in input.input[list]
	manifest.kind == "Secret"
	some field in ["data", "stringData"]
	manifest[field]
}
