# METADATA
# title: Who did what stays on record
package windlass.terraform.audit

import data.windlass.lib.plan
import data.windlass.lib.violation

trail_settings := {
	"aws_cloudtrail": [
		{"path": ["enable_logging"], "value": true},
		{"path": ["is_multi_region_trail"], "value": true},
		{"path": ["enable_log_file_validation"], "value": true},
	],
	"alicloud_actiontrail_trail": [
		{"path": ["event_rw"], "value": "All"},
		{"path": ["status"], "value": "Enable"},
	],
}

# METADATA
# title: trail-weakened
deny contains violation.because(
	"trail-weakened", change.address,
	sprintf("%s is not proven %v, so calls go unrecorded or a record can be changed unseen", [concat(".", setting.path), setting.value]),
	sprintf("set %s = %v, or use the module audit", [concat(".", setting.path), setting.value]),
) if {
	some type, settings in trail_settings
	some change in plan.remaining[type]
	some setting in settings
	not plan.is(change, setting.path, setting.value)
}

# METADATA
# title: control-plane-unlogged
deny contains violation.because(
	"control-plane-unlogged", change.address,
	"the cluster's audit log is off: nobody could say who changed what in it",
	"add \"audit\" to enabled_cluster_log_types",
) if {
	some change in plan.remaining.aws_eks_cluster
	not "audit" in object.get(change.change.after, "enabled_cluster_log_types", [])
}

deny contains violation.because(
	"control-plane-unlogged", change.address,
	"the cluster's audit log is off: nobody could say who changed what in it",
	"set audit_log_config { enabled = true }",
) if {
	some change in plan.remaining.alicloud_cs_managed_kubernetes
	not plan.is(change, ["audit_log_config", 0, "enabled"], true)
}

# METADATA
# title: network-unlogged
deny contains violation.because(
	"network-unlogged", change.address,
	"it has no flow log: who spoke with whom could not be found out",
	sprintf("add %s beside it, or use the module network", [log_type]),
) if {
	some type, log_type in {"aws_vpc": "aws_flow_log", "alicloud_vpc": "alicloud_vpc_flow_log"}
	some change in plan.remaining[type]
	count(plan.partners(change, log_type)) == 0
}
