output "backend" {
  description = "What `terraform init -backend-config` takes, one entry a line of the file; `key` is left to the root."
  value = {
    bucket              = alicloud_oss_bucket.this.id
    encrypt             = "true"
    region              = var.region
    tablestore_endpoint = "https://${alicloud_ots_instance.lock.name}.${var.region}.ots.aliyuncs.com"
    tablestore_table    = alicloud_ots_table.lock.table_name
  }
}

output "key_id" {
  description = "Key that states are encrypted with."
  value       = alicloud_kms_key.this.id
}
