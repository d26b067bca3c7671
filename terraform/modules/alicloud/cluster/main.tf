# ACK with a private endpoint. Nodes run in private vSwitches, on disks encrypted with the cluster's key; pods get their
# cloud rights by RRSA (module `identity`), never from their node.

locals {
  # Without the webhook no pod gets the rights of the module `identity`, so it is installed even if the caller names none.
  _addons = merge({ "ack-pod-identity-webhook" = null }, var.addons)
}

resource "alicloud_cs_managed_kubernetes" "this" {
  name                = var.name
  cluster_spec        = "ack.pro.small"
  version             = var.cluster.version
  vswitch_ids         = values(var.network.private_subnet_ids)
  pod_vswitch_ids     = values(var.network.private_subnet_ids)
  security_group_id   = var.network.security_group_id
  service_cidr        = var.cluster.service_cidr
  deletion_protection = var.cluster.deletion_protection

  # The module `network` has gateways already; the provider's default would make another.
  new_nat_gateway      = false
  slb_internet_enabled = var.cluster.endpoint_public_access

  encryption_provider_key = alicloud_kms_key.this.id
  # Cannot be turned off again, which is what we want.
  enable_rrsa = true

  control_plane_log_components = ["apiserver", "kcm", "scheduler", "ccm"]
  control_plane_log_project    = split("/", var.audit_sink.flow_log)[0]
  control_plane_log_ttl        = "400"

  audit_log_config {
    enabled          = true
    sls_project_name = split("/", var.audit_sink.flow_log)[0]
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = !var.cluster.endpoint_public_access || length(var.cluster.public_access_cidrs) > 0
      error_message = "ACK opens its public endpoint to everyone: put an access list for public_access_cidrs on the load balancer, or keep the endpoint private."
    }
  }
}

# Resources of their own: the cluster's own list of add-ons acts at creation only.
resource "alicloud_cs_kubernetes_addon" "this" {
  for_each = local._addons

  cluster_id = alicloud_cs_managed_kubernetes.this.id
  name       = each.key
  version    = each.value
}

resource "alicloud_cs_kubernetes_permissions" "administrator" {
  for_each = var.administrators

  uid = each.value

  permissions {
    cluster   = alicloud_cs_managed_kubernetes.this.id
    role_type = "cluster"
    role_name = "admin"
    is_custom = false
  }
}

