output "effective_ttl_seconds" {
  description = "TTL that resolvers see, by record: how long old answers live. A region migration waits this out."
  value       = local._effective_ttl
  depends_on  = [alicloud_alidns_record.this]
}

output "name_servers" {
  description = "Name servers to delegate the zone to."
  value       = sort(alicloud_alidns_domain.this.dns_servers)
}

output "weights" {
  description = "Weight of each target, by record and target, as it was applied."
  value       = { for key, record in var.records : key => { for name, target in record.targets : name => target.weight } }
  depends_on  = [alicloud_alidns_record.this]
}
