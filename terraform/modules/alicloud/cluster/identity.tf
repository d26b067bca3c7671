resource "alicloud_kms_key" "this" {
  description            = "Kubernetes secrets and node disks of ${var.name}"
  key_spec               = "Aliyun_AES_256"
  key_usage              = "ENCRYPT/DECRYPT"
  automatic_rotation     = "Enabled"
  rotation_interval      = "365d"
  pending_window_in_days = 30
  deletion_protection    = "Enabled"
  tags                   = var.tags
}

resource "alicloud_kms_alias" "this" {
  alias_name = "alias/${var.name}-cluster"
  key_id     = alicloud_kms_key.this.id
}
