# A VPC whose nodes have no public address. Alibaba Cloud has no public subnets: what makes a vSwitch private here is
# its SNAT entry, and load balancers get vSwitches of their own, so that both clouds show the same shape.

locals {
  _nat_zones = var.network.nat_per_zone ? keys(var.network.zones) : slice(sort(keys(var.network.zones)), 0, 1)
  # `audit_sink.flow_log` is project/store.
  _flow_log = split("/", var.audit_sink.flow_log)
}

resource "alicloud_vpc" "this" {
  vpc_name   = var.name
  cidr_block = var.network.cidr
  tags       = var.tags
}

resource "alicloud_vswitch" "private" {
  for_each = var.network.zones

  vpc_id       = alicloud_vpc.this.id
  zone_id      = each.key
  cidr_block   = each.value.private_cidr
  vswitch_name = "${var.name}-private-${each.key}"
  tags         = var.tags
}

resource "alicloud_vswitch" "public" {
  for_each = var.network.zones

  vpc_id       = alicloud_vpc.this.id
  zone_id      = each.key
  cidr_block   = each.value.public_cidr
  vswitch_name = "${var.name}-public-${each.key}"
  tags         = var.tags
}

resource "alicloud_eip_address" "nat" {
  for_each = toset(local._nat_zones)

  address_name         = "${var.name}-nat-${each.key}"
  internet_charge_type = "PayByTraffic"
  payment_type         = "PayAsYouGo"
  bandwidth            = "200"
  deletion_protection  = true
  tags                 = var.tags
}

resource "alicloud_nat_gateway" "this" {
  for_each = toset(local._nat_zones)

  vpc_id              = alicloud_vpc.this.id
  vswitch_id          = alicloud_vswitch.public[each.key].id
  nat_gateway_name    = "${var.name}-${each.key}"
  nat_type            = "Enhanced"
  network_type        = "internet"
  payment_type        = "PayAsYouGo"
  deletion_protection = true
  tags                = var.tags
}

resource "alicloud_eip_association" "nat" {
  for_each = toset(local._nat_zones)

  allocation_id = alicloud_eip_address.nat[each.key].id
  instance_id   = alicloud_nat_gateway.this[each.key].id
  instance_type = "Nat"
}

resource "alicloud_snat_entry" "private" {
  for_each = var.network.zones

  snat_table_id     = alicloud_nat_gateway.this[contains(local._nat_zones, each.key) ? each.key : local._nat_zones[0]].snat_table_ids
  source_vswitch_id = alicloud_vswitch.private[each.key].id
  snat_ip           = alicloud_eip_address.nat[contains(local._nat_zones, each.key) ? each.key : local._nat_zones[0]].ip_address

  depends_on = [alicloud_eip_association.nat]
}

# Members of the group do not trust each other by being members: the rule below says so where it can be read.
resource "alicloud_security_group" "nodes" {
  security_group_name = "${var.name}-nodes"
  description         = "Nodes: anything from each other, HTTPS to the world, everything inside the network"
  vpc_id              = alicloud_vpc.this.id
  security_group_type = "normal"
  inner_access_policy = "Drop"
  tags                = var.tags
}

resource "alicloud_security_group_rule" "nodes" {
  security_group_id        = alicloud_security_group.nodes.id
  description              = "from each other"
  type                     = "ingress"
  ip_protocol              = "all"
  port_range               = "-1/-1"
  policy                   = "accept"
  priority                 = 1
  source_security_group_id = alicloud_security_group.nodes.id
}

resource "alicloud_security_group_rule" "network" {
  security_group_id = alicloud_security_group.nodes.id
  description       = "inside the network"
  type              = "egress"
  ip_protocol       = "all"
  port_range        = "-1/-1"
  policy            = "accept"
  priority          = 1
  cidr_ip           = var.network.cidr
}

resource "alicloud_security_group_rule" "https" {
  security_group_id = alicloud_security_group.nodes.id
  description       = "HTTPS to the world"
  type              = "egress"
  ip_protocol       = "tcp"
  port_range        = "443/443"
  policy            = "accept"
  priority          = 1
  cidr_ip           = "0.0.0.0/0"
}

# A group of this type lets everything out unless told otherwise.
resource "alicloud_security_group_rule" "nothing_else" {
  security_group_id = alicloud_security_group.nodes.id
  description       = "nothing else"
  type              = "egress"
  ip_protocol       = "all"
  port_range        = "-1/-1"
  policy            = "drop"
  priority          = 100
  cidr_ip           = "0.0.0.0/0"
}

resource "alicloud_vpc_flow_log" "this" {
  flow_log_name  = var.name
  resource_id    = alicloud_vpc.this.id
  resource_type  = "VPC"
  traffic_type   = "All"
  project_name   = local._flow_log[0]
  log_store_name = local._flow_log[1]
  tags           = var.tags
}
