resource "alicloud_cs_kubernetes_node_pool" "this" {
  for_each = var.cluster.node_groups

  cluster_id           = alicloud_cs_managed_kubernetes.this.id
  node_pool_name       = each.key
  vswitch_ids          = values(var.network.private_subnet_ids)
  security_group_ids   = [var.network.security_group_id]
  instance_types       = each.value.instance_types
  instance_charge_type = "PostPaid"
  image_type           = "ContainerOS"
  multi_az_policy      = "BALANCE"

  system_disk_category          = "cloud_essd"
  system_disk_size              = each.value.disk_gib
  system_disk_encrypted         = true
  system_disk_encrypt_algorithm = "aes-256"
  system_disk_kms_key           = alicloud_kms_key.this.id

  scaling_config {
    enable   = true
    min_size = each.value.min_size
    max_size = each.value.max_size
  }

  management {
    enable          = true
    auto_repair     = true
    auto_vul_fix    = true
    max_unavailable = 1
  }

  # Tokens only: a pod cannot reach the node's credentials with a plain request.
  instance_metadata_options {
    http_tokens = "required"
  }

  dynamic "labels" {
    for_each = each.value.labels

    content {
      key   = labels.key
      value = labels.value
    }
  }

  dynamic "taints" {
    for_each = each.value.taints

    content {
      key    = taints.key
      value  = taints.value.value
      effect = taints.value.effect
    }
  }

  tags = var.tags

  # The autoscaler owns the number of nodes after creation.
  lifecycle {
    ignore_changes = [desired_size]
  }
}
