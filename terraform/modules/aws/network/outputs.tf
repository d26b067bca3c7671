output "egress_addresses" {
  description = "Public address that the nodes of a zone are seen with, by zone of the gateway."
  value       = { for zone, address in aws_eip.nat : zone => address.public_ip }
}

output "network_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
  depends_on  = [aws_flow_log.this, aws_default_security_group.closed]
}

output "private_subnet_ids" {
  description = "Subnets of the nodes, by zone; known only when their way out exists."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
  depends_on  = [aws_route.private, aws_route_table_association.private]
}

output "public_subnet_ids" {
  description = "Subnets of the load balancers, by zone."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
  depends_on  = [aws_route.public, aws_route_table_association.public]
}

output "security_group_id" {
  description = "Security group of the nodes."
  value       = aws_security_group.nodes.id
  depends_on  = [aws_vpc_security_group_ingress_rule.nodes, aws_vpc_security_group_egress_rule.network]
}
