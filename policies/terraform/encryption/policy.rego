# METADATA
# title: What is stored is encrypted, with a key that is ours and rotates
package windlass.terraform.encryption

import data.windlass.lib.plan
import data.windlass.lib.violation

bucket_types := {
	"aws_s3_bucket": "aws_s3_bucket_server_side_encryption_configuration",
	"alicloud_oss_bucket": "alicloud_oss_bucket_server_side_encryption",
}

# METADATA
# title: volume-unencrypted
deny contains violation.because(
	"volume-unencrypted", change.address,
	"it is not proven that the volume is encrypted; encryption cannot be added later without replacing it",
	"set encrypted = true and a key of the region (module cluster does both)",
) if {
	some type, path in {
		"aws_ebs_volume": ["encrypted"],
		"alicloud_ecs_disk": ["encrypted"],
		"alicloud_cs_kubernetes_node_pool": ["system_disk_encrypted"],
	}
	some change in plan.remaining[type]
	not plan.is(change, path, true)
}

deny contains violation.because(
	"volume-unencrypted", change.address,
	"a volume of the launch template is not encrypted, or it is not known that it is",
	"set ebs { encrypted = true, kms_key_id = … } in every block_device_mappings (module cluster does)",
) if {
	some change in plan.remaining.aws_launch_template
	not encrypted_volumes(change)
}

# METADATA
# title: bucket-unencrypted
deny contains violation.because(
	"bucket-unencrypted", change.address,
	"no encryption with a key of KMS belongs to it",
	sprintf("add %s beside it with a key, or use the module storage", [encryption_type]),
) if {
	some type, encryption_type in bucket_types
	some change in plan.remaining[type]
	every encryption in plan.partners(change, encryption_type) {
		not with_key(encryption)
	}
}

# METADATA
# title: secrets-unencrypted
deny contains violation.because(
	"secrets-unencrypted", change.address,
	"Kubernetes secrets would lie in etcd under the cloud's own key only",
	"set encryption_config with resources = [\"secrets\"] and a key of the region",
) if {
	some change in plan.remaining.aws_eks_cluster
	not "secrets" in object.get(change.change.after, ["encryption_config", 0, "resources"], [])
}

deny contains violation.because(
	"secrets-unencrypted", change.address,
	"Kubernetes secrets would lie in etcd under the cloud's own key only",
	"set encryption_provider_key to a key of the region",
) if {
	some change in plan.remaining.alicloud_cs_managed_kubernetes
	not plan.given(change, ["encryption_provider_key"])
}

# METADATA
# title: database-unencrypted
deny contains violation.because(
	"database-unencrypted", change.address,
	sprintf("%s is not proven true", [concat(".", path)]),
	sprintf("set %s = true", [concat(".", path)]),
) if {
	some type, paths in {
		"aws_db_instance": [["storage_encrypted"]],
		"aws_elasticache_replication_group": [["at_rest_encryption_enabled"], ["transit_encryption_enabled"]],
	}
	some change in plan.remaining[type]
	some path in paths
	not proven_true(change, path)
}

deny contains violation.because(
	"database-unencrypted", change.address,
	"the database has no key of KMS",
	sprintf("set %s to a key of the region", [field]),
) if {
	some type, field in {"alicloud_db_instance": "encryption_key", "alicloud_kvstore_instance": "encryption_key"}
	some change in plan.remaining[type]
	not plan.given(change, [field])
}

# METADATA
# title: key-not-rotated
deny contains violation.because(
	"key-not-rotated", change.address,
	"the key keeps its material for ever, so one leak opens all that was ever written",
	"set enable_key_rotation = true (Alibaba Cloud: automatic_rotation = \"Enabled\")",
) if {
	some type, wanted in {
		"aws_kms_key": {"path": ["enable_key_rotation"], "value": true},
		"alicloud_kms_key": {"path": ["automatic_rotation"], "value": "Enabled"},
	}
	some change in plan.remaining[type]
	not plan.is(change, wanted.path, wanted.value)
}

encrypted_volumes(change) if {
	count(change.change.after.block_device_mappings) > 0
	every mapping in change.change.after.block_device_mappings {
		every volume in mapping.ebs {
			volume.encrypted == "true"
		}
	}
}

with_key(encryption) if {
	plan.is(encryption, ["rule", 0, "apply_server_side_encryption_by_default", 0, "sse_algorithm"], "aws:kms")
	plan.given(encryption, ["rule", 0, "apply_server_side_encryption_by_default", 0, "kms_master_key_id"])
}

with_key(encryption) if {
	plan.is(encryption, ["sse_algorithm"], "KMS")
	plan.given(encryption, ["kms_master_key_id"])
}

# ElastiCache's schema has one of these as text.
proven_true(change, path) if plan.is(change, path, true)

proven_true(change, path) if plan.is(change, path, "true")
