# Buckets of uploads: private, versioned, encrypted with a key of the region, over TLS only. Parts of multipart uploads
# that nobody finishes are aborted, because they cost money and no listing of objects shows them.

resource "alicloud_kms_key" "this" {
  description            = "Buckets of ${var.name}"
  key_spec               = "Aliyun_AES_256"
  key_usage              = "ENCRYPT/DECRYPT"
  automatic_rotation     = "Enabled"
  rotation_interval      = "365d"
  pending_window_in_days = 30
  deletion_protection    = "Enabled"
  tags                   = var.tags
}

resource "alicloud_kms_alias" "this" {
  alias_name = "alias/${var.name}-storage"
  key_id     = alicloud_kms_key.this.id
}

resource "alicloud_oss_bucket" "this" {
  for_each = var.buckets

  bucket          = "${var.name}-${each.key}"
  storage_class   = "Standard"
  redundancy_type = "ZRS"
  force_destroy   = false
  tags            = var.tags

  lifecycle_rule {
    id      = "abandoned"
    enabled = true

    abort_multipart_upload {
      days = each.value.abort_multipart_days
    }

    noncurrent_version_expiration {
      days = each.value.noncurrent_days
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.expire_days[*]

    content {
      id      = "expiry"
      enabled = true

      expiration {
        days = lifecycle_rule.value
      }
    }
  }

  # Versioning, encryption and policy are resources of their own; the provider would otherwise fight over them.
  lifecycle {
    ignore_changes = [policy, server_side_encryption_rule, versioning]
  }
}

resource "alicloud_oss_bucket_acl" "this" {
  for_each = var.buckets

  bucket = alicloud_oss_bucket.this[each.key].id
  acl    = "private"
}

resource "alicloud_oss_bucket_public_access_block" "this" {
  for_each = var.buckets

  bucket              = alicloud_oss_bucket.this[each.key].id
  block_public_access = true
}

resource "alicloud_oss_bucket_versioning" "this" {
  for_each = var.buckets

  bucket = alicloud_oss_bucket.this[each.key].id
  status = "Enabled"
}

resource "alicloud_oss_bucket_server_side_encryption" "this" {
  for_each = var.buckets

  bucket            = alicloud_oss_bucket.this[each.key].id
  sse_algorithm     = "KMS"
  kms_master_key_id = alicloud_kms_key.this.id
}

resource "alicloud_oss_bucket_https_config" "this" {
  for_each = var.buckets

  bucket       = alicloud_oss_bucket.this[each.key].id
  enable       = true
  tls_versions = ["TLSv1.2", "TLSv1.3"]
}

resource "alicloud_oss_bucket_policy" "this" {
  for_each = var.buckets

  bucket = alicloud_oss_bucket.this[each.key].id

  policy = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Deny"
      Principal = ["*"]
      Action    = ["oss:*"]
      Resource  = ["acs:oss:*:${var.account_id}:${var.name}-${each.key}", "acs:oss:*:${var.account_id}:${var.name}-${each.key}/*"]
      Condition = { Bool = { "acs:SecureTransport" = ["false"] } }
    }]
  })

  depends_on = [alicloud_oss_bucket_public_access_block.this]
}
