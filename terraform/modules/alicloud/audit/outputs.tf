output "audit_sink" {
  description = "Where other modules send their logs, and the SIEM reads: archive bucket, its key, target of flow logs."
  value = {
    archive  = alicloud_oss_bucket.this.id
    key_id   = alicloud_kms_key.this.id
    flow_log = "${alicloud_log_project.this.project_name}/${alicloud_log_store.flow.logstore_name}"
  }
  depends_on = [alicloud_oss_bucket_policy.this]
}

output "key_id" {
  description = "Key that audit records are encrypted with."
  value       = alicloud_kms_key.this.id
}

output "trail_id" {
  description = "Id of the trail of API calls."
  value       = alicloud_actiontrail_trail.this.id
}
