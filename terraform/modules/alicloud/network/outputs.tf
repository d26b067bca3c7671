output "egress_addresses" {
  description = "Public address that the nodes of a zone are seen with, by zone of the gateway."
  value       = { for zone, address in alicloud_eip_address.nat : zone => address.ip_address }
}

output "network_id" {
  description = "Id of the network."
  value       = alicloud_vpc.this.id
  depends_on  = [alicloud_vpc_flow_log.this]
}

output "private_subnet_ids" {
  description = "Subnets of the nodes, by zone; known only when their way out exists."
  value       = { for zone, vswitch in alicloud_vswitch.private : zone => vswitch.id }
  depends_on  = [alicloud_snat_entry.private]
}

output "public_subnet_ids" {
  description = "Subnets of the load balancers, by zone."
  value       = { for zone, vswitch in alicloud_vswitch.public : zone => vswitch.id }
}

output "security_group_id" {
  description = "Security group of the nodes."
  value       = alicloud_security_group.nodes.id
  depends_on  = [alicloud_security_group_rule.nodes, alicloud_security_group_rule.network, alicloud_security_group_rule.nothing_else]
}
