# Who may do what, without one static key: pods by RRSA (their cluster is an OIDC issuer to RAM), CI by OIDC.

locals {
  _read  = ["oss:GetObject", "oss:ListObjects", "oss:GetBucketInfo"]
  _write = concat(local._read, ["oss:PutObject", "oss:DeleteObject", "oss:AbortMultipartUpload", "oss:ListParts", "oss:ListMultipartUploads"])

  # The provider's name stands for its issuer, which a plan of a new cluster does not know yet.
  # Written out, not read from the providers below, so that a plan shows whole whom each role trusts.
  _cluster_provider = "acs:ram::${var.account_id}:oidc-provider/${var.name}-cluster"
  _ci_provider      = "acs:ram::${var.account_id}:oidc-provider/${var.name}-ci"

  # Service accounts that have rights: a role without a policy needs none.
  _with_rights = { for key, account in var.service_accounts : key => account if length(account.buckets) > 0 }
}

resource "alicloud_ims_oidc_provider" "cluster" {
  oidc_provider_name = "${var.name}-cluster"
  description        = "Service accounts of ${var.name}"
  issuer_url         = var.cluster.oidc_issuer_url
  client_ids         = ["sts.aliyuncs.com"]
}

resource "alicloud_ram_role" "workload" {
  for_each = var.service_accounts

  role_name = "${var.name}-${each.key}"
  tags      = var.tags

  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Federated = [local._cluster_provider] }
      Condition = {
        StringEquals = {
          "oidc:aud" = ["sts.aliyuncs.com"]
          "oidc:sub" = ["system:serviceaccount:${each.value.namespace}:${each.value.service_account}"]
        }
      }
    }]
  })

  depends_on = [alicloud_ims_oidc_provider.cluster]
}

resource "alicloud_ram_policy" "workload" {
  for_each = local._with_rights

  policy_name = "${var.name}-${each.key}"
  description = "Rights of the service account ${each.value.namespace}/${each.value.service_account}"

  policy_document = jsonencode({
    Version = "1"
    Statement = concat(
      [for bucket, right in each.value.buckets : {
        Effect   = "Allow"
        Action   = right == "write" ? local._write : local._read
        Resource = ["acs:oss:*:${var.account_id}:${bucket}", "acs:oss:*:${var.account_id}:${bucket}/*"]
      }],
      [for key, id in each.value.key_ids : {
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = ["acs:kms:*:${var.account_id}:key/${id}"]
      }],
    )
  })
}

resource "alicloud_ram_role_policy_attachment" "workload" {
  for_each = local._with_rights

  role_name   = alicloud_ram_role.workload[each.key].role_name
  policy_name = alicloud_ram_policy.workload[each.key].policy_name
  policy_type = "Custom"
}

resource "alicloud_ims_oidc_provider" "ci" {
  oidc_provider_name = "${var.name}-ci"
  description        = "CI of ${var.name}"
  issuer_url         = var.ci.issuer
  client_ids         = [var.ci.audience]
}

resource "alicloud_ram_role" "ci" {
  for_each = var.ci.subjects

  role_name            = "${var.name}-ci-${each.key}"
  max_session_duration = 3600
  tags                 = var.tags

  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Federated = [local._ci_provider] }
      Condition = {
        StringEquals = {
          "oidc:aud" = [var.ci.audience]
          "oidc:iss" = [var.ci.issuer]
          "oidc:sub" = [each.value]
        }
      }
    }]
  })

  depends_on = [alicloud_ims_oidc_provider.ci]
}

resource "alicloud_ram_role_policy_attachment" "ci_plan" {
  role_name   = alicloud_ram_role.ci["plan"].role_name
  policy_name = "ReadOnlyAccess"
  policy_type = "System"
}

# What apply may change is the platform team's decision of their account; they attach it to this role's name.
