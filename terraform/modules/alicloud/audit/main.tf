# The region's record of who did what: a trail of every API call in an encrypted bucket and in the log service, where
# flow logs and the control plane's logs go as well. The SIEM reads from `audit_sink`.

resource "alicloud_kms_key" "this" {
  description            = "Audit records of ${var.name}"
  key_spec               = "Aliyun_AES_256"
  key_usage              = "ENCRYPT/DECRYPT"
  automatic_rotation     = "Enabled"
  rotation_interval      = "365d"
  pending_window_in_days = 30
  deletion_protection    = "Enabled"
  tags                   = var.tags
}

resource "alicloud_kms_alias" "this" {
  alias_name = "alias/${var.name}-audit"
  key_id     = alicloud_kms_key.this.id
}

resource "alicloud_oss_bucket" "this" {
  bucket          = "${var.name}-audit-${var.account_id}"
  storage_class   = "Standard"
  redundancy_type = "ZRS"
  force_destroy   = false
  tags            = var.tags

  lifecycle_rule {
    id      = "retention"
    enabled = true

    expiration {
      days = var.retention_days
    }

    noncurrent_version_expiration {
      days = 30
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
      Resource  = ["acs:oss:*:${var.account_id}:${var.name}-audit-${var.account_id}", "acs:oss:*:${var.account_id}:${var.name}-audit-${var.account_id}/*"]
      Condition = { Bool = { "acs:SecureTransport" = ["false"] } }
    }]
  })

  depends_on = [alicloud_oss_bucket_public_access_block.this]
}

resource "alicloud_log_project" "this" {
  project_name = "${var.name}-audit"
  description  = "Audit records of ${var.name}"
  tags         = var.tags
}

resource "alicloud_log_store" "flow" {
  project_name     = alicloud_log_project.this.project_name
  logstore_name    = "flow"
  retention_period = var.retention_days

  encrypt_conf {
    enable       = true
    encrypt_type = "default"

    user_cmk_info {
      cmk_key_id = alicloud_kms_key.this.id
      arn        = alicloud_ram_role.writer.arn
      region_id  = var.region
    }
  }
}

# The trail and the log store write as this role; nothing else can take it.
resource "alicloud_ram_role" "writer" {
  role_name = "${var.name}-audit-writer"
  tags      = var.tags

  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = ["actiontrail.aliyuncs.com", "log.aliyuncs.com"] }
    }]
  })
}

resource "alicloud_ram_policy" "writer" {
  policy_name = "${var.name}-audit-writer"
  description = "Write audit records of ${var.name}"

  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["oss:PutObject", "oss:GetBucketLocation", "oss:ListObjects"]
        Resource = ["acs:oss:*:${var.account_id}:${var.name}-audit-${var.account_id}", "acs:oss:*:${var.account_id}:${var.name}-audit-${var.account_id}/*"]
      },
      {
        Effect   = "Allow"
        Action   = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"]
        Resource = ["acs:kms:${var.region}:${var.account_id}:key/*"]
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "writer" {
  role_name   = alicloud_ram_role.writer.role_name
  policy_name = alicloud_ram_policy.writer.policy_name
  policy_type = "Custom"
}

resource "alicloud_actiontrail_trail" "this" {
  trail_name         = "${var.name}-audit"
  event_rw           = "All"
  trail_region       = "All"
  status             = "Enable"
  oss_bucket_name    = alicloud_oss_bucket.this.bucket
  oss_write_role_arn = alicloud_ram_role.writer.arn

  depends_on = [alicloud_ram_role_policy_attachment.writer, alicloud_oss_bucket_policy.this]
}
