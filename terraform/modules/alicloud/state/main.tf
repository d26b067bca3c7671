# Where Terraform keeps a region's state: versioned, encrypted, private, locked by a row in a table of Tablestore (the
# `oss` backend has no lock file of its own).

resource "alicloud_kms_key" "this" {
  description            = "Terraform state of ${var.name}"
  key_spec               = "Aliyun_AES_256"
  key_usage              = "ENCRYPT/DECRYPT"
  automatic_rotation     = "Enabled"
  rotation_interval      = "365d"
  pending_window_in_days = 30
  deletion_protection    = "Enabled"
  tags                   = var.tags
}

resource "alicloud_kms_alias" "this" {
  alias_name = "alias/${var.name}-state"
  key_id     = alicloud_kms_key.this.id
}

resource "alicloud_oss_bucket" "this" {
  bucket          = "${var.name}-state-${var.account_id}"
  storage_class   = "Standard"
  redundancy_type = "ZRS"
  force_destroy   = false
  tags            = var.tags

  lifecycle_rule {
    id      = "versions"
    enabled = true

    noncurrent_version_expiration {
      days = var.noncurrent_days
    }

    abort_multipart_upload {
      days = 7
    }
  }

  # Versioning, encryption and policy are resources of their own; the provider would otherwise fight over them.
  lifecycle {
    ignore_changes = [policy, server_side_encryption_rule, versioning]
  }
}

resource "alicloud_oss_bucket_acl" "this" {
  bucket = alicloud_oss_bucket.this.id
  acl    = "private"
}

resource "alicloud_oss_bucket_public_access_block" "this" {
  bucket              = alicloud_oss_bucket.this.id
  block_public_access = true
}

resource "alicloud_oss_bucket_versioning" "this" {
  bucket = alicloud_oss_bucket.this.id
  status = "Enabled"
}

resource "alicloud_oss_bucket_server_side_encryption" "this" {
  bucket            = alicloud_oss_bucket.this.id
  sse_algorithm     = "KMS"
  kms_master_key_id = alicloud_kms_key.this.id
}

resource "alicloud_oss_bucket_https_config" "this" {
  bucket       = alicloud_oss_bucket.this.id
  enable       = true
  tls_versions = ["TLSv1.2", "TLSv1.3"]
}

resource "alicloud_oss_bucket_policy" "this" {
  bucket = alicloud_oss_bucket.this.id

  policy = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Deny"
      Principal = ["*"]
      Action    = ["oss:*"]
      Resource  = ["acs:oss:*:${var.account_id}:${var.name}-state-${var.account_id}", "acs:oss:*:${var.account_id}:${var.name}-state-${var.account_id}/*"]
      Condition = { Bool = { "acs:SecureTransport" = ["false"] } }
    }]
  })

  depends_on = [alicloud_oss_bucket_public_access_block.this]
}

resource "alicloud_ots_instance" "lock" {
  name             = substr("${var.name}-lock", 0, 21)
  description      = "Locks of Terraform states of ${var.name}"
  instance_type    = "Capacity"
  network_type_acl = ["VPC", "INTERNET"]
  tags             = var.tags
}

resource "alicloud_ots_table" "lock" {
  instance_name = alicloud_ots_instance.lock.name
  table_name    = "terraform_lock"
  time_to_live  = -1
  max_version   = 1
  enable_sse    = true
  sse_key_type  = "SSE_KMS_SERVICE"

  primary_key {
    name = "LockID"
    type = "String"
  }
}
