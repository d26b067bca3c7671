output "bucket_ids" {
  description = "Full identifiers of the buckets, as policies name them, by key."
  value       = { for key, bucket in alicloud_oss_bucket.this : key => "acs:oss:*:${var.account_id}:${bucket.id}" }
}

output "bucket_names" {
  description = "Names of the buckets, by key; known only when they are closed to the public."
  value       = { for key, bucket in alicloud_oss_bucket.this : key => bucket.id }
  depends_on  = [alicloud_oss_bucket_public_access_block.this, alicloud_oss_bucket_policy.this]
}

output "key_id" {
  description = "Key that the buckets are encrypted with."
  value       = alicloud_kms_key.this.id
}
