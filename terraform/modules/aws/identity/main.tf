# Who may do what, without one static key: pods by EKS Pod Identity, CI by OIDC.

locals {
  _read  = ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"]
  _write = concat(local._read, ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads"])

  # Written out, not read from the provider below, so that a plan shows whole whom each role trusts.
  _issuer      = trimprefix(var.ci.issuer, "https://")
  _ci_provider = "arn:aws:iam::${var.account_id}:oidc-provider/${local._issuer}"

  # Service accounts that have rights: a role without a policy needs none.
  _with_rights = { for key, account in var.service_accounts : key => account if length(account.buckets) > 0 }
}

resource "aws_iam_role" "workload" {
  for_each = var.service_accounts

  name = "${var.name}-${each.key}"
  tags = var.tags

  # The association below binds one service account; the condition keeps another cluster's associations out.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:SourceAccount"                         = var.account_id
          "aws:RequestTag/eks-cluster-name"           = var.cluster.cluster_name
          "aws:RequestTag/kubernetes-namespace"       = each.value.namespace
          "aws:RequestTag/kubernetes-service-account" = each.value.service_account
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "workload" {
  for_each = local._with_rights

  name = "buckets"
  role = aws_iam_role.workload[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for bucket, right in each.value.buckets : {
        Effect   = "Allow"
        Action   = right == "write" ? local._write : local._read
        Resource = ["arn:aws:s3:::${bucket}", "arn:aws:s3:::${bucket}/*"]
      }],
      [for key, id in each.value.key_ids : {
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = id
      }],
    )
  })
}

resource "aws_eks_pod_identity_association" "workload" {
  for_each = var.service_accounts

  cluster_name    = var.cluster.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.workload[each.key].arn
  tags            = var.tags
}

resource "aws_iam_openid_connect_provider" "ci" {
  url            = var.ci.issuer
  client_id_list = [var.ci.audience]
  tags           = var.tags
}

resource "aws_iam_role" "ci" {
  for_each = var.ci.subjects

  name                 = "${var.name}-ci-${each.key}"
  max_session_duration = 3600
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local._ci_provider }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local._issuer}:aud" = var.ci.audience
          "${local._issuer}:sub" = each.value
        }
      }
    }]
  })

  depends_on = [aws_iam_openid_connect_provider.ci]
}

resource "aws_iam_role_policy_attachment" "ci_plan" {
  role       = aws_iam_role.ci["plan"].name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

# What apply may change is the platform team's decision of their account; they attach it to this role's name.
