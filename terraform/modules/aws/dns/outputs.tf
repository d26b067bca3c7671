output "effective_ttl_seconds" {
  description = "TTL that resolvers see, by record: how long old answers live. A region migration waits this out."
  value       = { for key, record in var.records : key => record.ttl_seconds }
  depends_on  = [aws_route53_record.target]
}

output "name_servers" {
  description = "Name servers to delegate the zone to."
  value       = sort(aws_route53_zone.this.name_servers)
}

output "weights" {
  description = "Weight of each target, by record and target, as it was applied."
  value       = { for key, record in var.records : key => { for name, target in record.targets : name => target.weight } }
  depends_on  = [aws_route53_record.target]
}
