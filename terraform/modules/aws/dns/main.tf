# Weighted names on Route 53. The twin does the same with Alibaba Cloud's GTM; both say which TTL a resolver sees.

locals {
  # Stable keys: record and target, never an index.
  _targets = merge([
    for record_key, record in var.records : {
      for target_key, target in record.targets : "${record_key}/${target_key}" => merge(target, {
        record_key = record_key
        target_key = target_key
      })
    }
  ]...)
}

resource "aws_route53_zone" "this" {
  name          = var.zone
  comment       = "Windlass ${var.name}"
  force_destroy = false
  tags          = var.tags
}

resource "aws_route53_health_check" "target" {
  for_each = local._targets

  type              = "HTTPS"
  ip_address        = each.value.address
  fqdn              = "${var.records[each.value.record_key].host}.${var.zone}"
  port              = 443
  resource_path     = each.value.health_path
  enable_sni        = true
  failure_threshold = 3
  request_interval  = 30
  tags              = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route53_record" "target" {
  for_each = local._targets

  zone_id         = aws_route53_zone.this.id
  name            = "${var.records[each.value.record_key].host}.${var.zone}"
  type            = "A"
  ttl             = var.records[each.value.record_key].ttl_seconds
  records         = [each.value.address]
  set_identifier  = each.value.target_key
  health_check_id = aws_route53_health_check.target[each.key].id

  weighted_routing_policy {
    weight = each.value.weight
  }
}
