output "cluster" {
  description = "How to reach the cluster; the certificate authority is no secret."
  value = {
    ca       = module.cluster.cluster_ca
    endpoint = module.cluster.cluster_endpoint
    name     = module.cluster.cluster_name
  }
}

output "effective_ttl_seconds" {
  description = "TTL that resolvers see, by record; a region migration waits it out."
  value       = module.dns.effective_ttl_seconds
}

output "name_servers" {
  description = "Name servers to delegate the zone to."
  value       = module.dns.name_servers
}

output "workloads" {
  description = "Role and annotations of each service account, for the charts' values."
  value = {
    for key, role in module.identity.workload_role_ids : key => {
      annotations = module.identity.workload_annotations[key]
      role        = role
    }
  }
}
