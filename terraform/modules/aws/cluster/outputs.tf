output "cluster_ca" {
  description = "Certificate authority of the API endpoint, base64 of PEM."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "cluster_endpoint" {
  description = "URL of the API endpoint, reachable from inside the network."
  value       = aws_eks_cluster.this.endpoint
}

output "cluster_id" {
  description = "Id of the cluster in the cloud's API."
  value       = aws_eks_cluster.this.arn
}

output "cluster_name" {
  description = "Name of the cluster; known only when administrators can enter and nodes are there."
  value       = aws_eks_cluster.this.name
  depends_on  = [aws_eks_access_policy_association.administrator, aws_eks_addon.this, aws_eks_node_group.this]
}

output "key_id" {
  description = "Key of Kubernetes secrets and node volumes."
  value       = aws_kms_key.this.arn
}

output "node_role_id" {
  description = "Role that nodes have; pods must not need it."
  value       = aws_iam_role.node.arn
}

output "oidc_issuer_url" {
  description = "Issuer of the cluster's service account tokens."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}
