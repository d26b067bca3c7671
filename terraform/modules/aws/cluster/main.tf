# EKS with a private endpoint. Nodes run in private subnets, on volumes encrypted with the cluster's key; pods get their
# cloud rights by Pod Identity (module `identity`), never from their node.

locals {
  _node_policies = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"])
  # Without the agent no pod gets the rights of the module `identity`, so it is installed even if the caller names none.
  _addons = merge({ "eks-pod-identity-agent" = null }, var.addons)
}

resource "aws_cloudwatch_log_group" "control_plane" {
  name              = "/aws/eks/${var.name}/cluster"
  kms_key_id        = var.audit_sink.key_id
  retention_in_days = 400
  tags              = var.tags
}

resource "aws_eks_cluster" "this" {
  name                          = var.name
  role_arn                      = aws_iam_role.cluster.arn
  version                       = var.cluster.version
  deletion_protection           = var.cluster.deletion_protection
  bootstrap_self_managed_addons = false
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  tags                          = var.tags

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.this.arn
    }
  }

  kubernetes_network_config {
    service_ipv4_cidr = var.cluster.service_cidr
  }

  vpc_config {
    subnet_ids              = values(var.network.private_subnet_ids)
    security_group_ids      = [var.network.security_group_id]
    endpoint_private_access = true
    endpoint_public_access  = var.cluster.endpoint_public_access
    public_access_cidrs     = var.cluster.endpoint_public_access ? var.cluster.public_access_cidrs : null
  }

  depends_on = [aws_cloudwatch_log_group.control_plane, aws_iam_role_policy_attachment.cluster]
}

resource "aws_eks_access_entry" "administrator" {
  for_each = var.administrators

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
  type          = "STANDARD"
  tags          = var.tags
}

resource "aws_eks_access_policy_association" "administrator" {
  for_each = var.administrators

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.administrator[each.key].principal_arn
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

resource "aws_eks_addon" "this" {
  for_each = local._addons

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "PRESERVE"
  tags                        = var.tags
}
