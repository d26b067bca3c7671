# Everything here is wrong on purpose: the gate scan requires every check to find something in this folder.

resource "alicloud_oss_bucket" "bad" {
  bucket = "bad"
  acl    = "public-read"
}

resource "alicloud_security_group_rule" "bad" {
  type              = "ingress"
  ip_protocol       = "tcp"
  port_range        = "22/22"
  security_group_id = "bad"
  cidr_ip           = "0.0.0.0/0"
}

resource "alicloud_actiontrail_trail" "bad" {
  trail_name   = "bad"
  event_rw     = "Write"
  trail_region = "cn-hangzhou"
}

resource "alicloud_kms_key" "bad" {
  automatic_rotation = "Disabled"
}

resource "alicloud_cs_managed_kubernetes" "bad" {
  name        = "bad"
  vswitch_ids = ["bad"]
}

resource "alicloud_cs_kubernetes_node_pool" "bad" {
  cluster_id = alicloud_cs_managed_kubernetes.bad.id
}

resource "alicloud_kvstore_instance" "bad" {
  db_instance_name = "bad"
}
