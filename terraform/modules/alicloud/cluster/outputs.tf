output "cluster_ca" {
  description = "Certificate authority of the API endpoint, base64 of PEM."
  value       = alicloud_cs_managed_kubernetes.this.certificate_authority["cluster_cert"]
}

output "cluster_endpoint" {
  description = "URL of the API endpoint, reachable from inside the network."
  value       = alicloud_cs_managed_kubernetes.this.connections["api_server_intranet"]
}

output "cluster_id" {
  description = "Id of the cluster in the cloud's API."
  value       = alicloud_cs_managed_kubernetes.this.id
}

output "cluster_name" {
  description = "Name of the cluster; known only when administrators can enter and nodes are there."
  value       = alicloud_cs_managed_kubernetes.this.name
  depends_on  = [alicloud_cs_kubernetes_permissions.administrator, alicloud_cs_kubernetes_addon.this, alicloud_cs_kubernetes_node_pool.this]
}

output "key_id" {
  description = "Key of Kubernetes secrets and node volumes."
  value       = alicloud_kms_key.this.id
}

output "node_role_id" {
  description = "Role that nodes have; pods must not need it."
  value       = alicloud_cs_managed_kubernetes.this.worker_ram_role_name
}

output "oidc_issuer_url" {
  description = "Issuer of the cluster's service account tokens."
  value       = alicloud_cs_managed_kubernetes.this.rrsa_metadata[0].rrsa_oidc_issuer_url
}
