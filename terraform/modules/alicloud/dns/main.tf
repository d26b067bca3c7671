# Weighted names on GTM. An `alicloud_alidns_record` has no weight, so each name is a CNAME to a GTM instance of its own,
# whose pool weighs the addresses. The CNAME never changes; what a resolver caches and must let go is GTM's answer.

locals {
  # Seconds that GTM can be set to. Others are rounded up, and the output says to what.
  _ttls = [60, 120, 300, 600]
  _effective_ttl = {
    for key, record in var.records : key => min([for ttl in local._ttls : ttl if ttl >= record.ttl_seconds]...)
  }
}

resource "alicloud_alidns_domain" "this" {
  domain_name = var.zone
  remark      = "Windlass ${var.name}"
  tags        = var.tags
}

resource "alicloud_alidns_gtm_instance" "this" {
  for_each = var.records

  instance_name           = "${var.name}-${each.key}"
  payment_type            = "Subscription"
  period                  = 12
  renewal_status          = "AutoRenewal"
  renew_period            = 12
  package_edition         = "standard"
  health_check_task_count = 100
  sms_notification_count  = 1000
  strategy_mode           = "GEO"
  cname_type              = "PUBLIC"
  public_cname_mode       = "CUSTOM"
  public_rr               = "${each.value.host}-gtm"
  public_zone_name        = alicloud_alidns_domain.this.domain_name
  public_user_domain_name = "${each.value.host}.${var.zone}"
  ttl                     = local._effective_ttl[each.key]
}

resource "alicloud_alidns_address_pool" "this" {
  for_each = var.records

  address_pool_name = "${var.name}-${each.key}"
  instance_id       = alicloud_alidns_gtm_instance.this[each.key].id
  lba_strategy      = "RATIO"
  type              = "IPV4"

  # GTM takes weights from 1 to 100; a target of weight 0 stays in the pool, offline.
  dynamic "address" {
    for_each = each.value.targets

    content {
      address        = address.value.address
      remark         = address.key
      attribute_info = jsonencode({ lineCodeRectifyType = "NO_NEED", lineCodes = ["default"] })
      mode           = address.value.weight == 0 ? "OFFLINE" : "SMART"
      lba_weight     = max(address.value.weight, 1)
    }
  }

  lifecycle {
    precondition {
      condition     = length(each.value.targets) <= 20
      error_message = "Record ${each.key} has more than 20 targets, which is what one GTM pool holds. Split it into two records."
    }
  }
}

resource "alicloud_alidns_monitor_config" "this" {
  for_each = var.records

  addr_pool_id     = alicloud_alidns_address_pool.this[each.key].id
  protocol_type    = "HTTPS"
  interval         = 60
  timeout          = 5000
  evaluation_count = 3

  # One path a pool is all that GTM has: the one of the first target by name.
  monitor_extend_info = jsonencode({
    code        = 400
    failureRate = 50
    host        = "${each.value.host}.${var.zone}"
    path        = each.value.targets[sort(keys(each.value.targets))[0]].health_path
    port        = 443
    sni         = true
  })

  isp_city_node {
    city_code = "503"
    isp_code  = "465"
  }
}

resource "alicloud_alidns_access_strategy" "this" {
  for_each = var.records

  strategy_name                  = "${var.name}-${each.key}"
  instance_id                    = alicloud_alidns_gtm_instance.this[each.key].id
  strategy_mode                  = "GEO"
  access_mode                    = "AUTO"
  default_addr_pool_type         = "IPV4"
  default_lba_strategy           = "RATIO"
  default_min_available_addr_num = 1

  default_addr_pools {
    addr_pool_id = alicloud_alidns_address_pool.this[each.key].id
    lba_weight   = 1
  }

  lines {
    line_code = "default"
  }
}

resource "alicloud_alidns_record" "this" {
  for_each = var.records

  domain_name = alicloud_alidns_domain.this.domain_name
  rr          = each.value.host
  type        = "CNAME"
  value       = "${alicloud_alidns_gtm_instance.this[each.key].public_rr}.${var.zone}"
  ttl         = 600
  remark      = "Answered by GTM; weights are there"

  depends_on = [alicloud_alidns_access_strategy.this]
}
