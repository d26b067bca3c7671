# network on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "alicloud" {}

variables {
  name   = "windlass-test"
  region = "cn-hangzhou"
  tags   = { owner = "platform" }
  network = {
    cidr = "10.20.0.0/16"
    zones = {
      "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
      "cn-hangzhou-i" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
    }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "key-1"
    flow_log = "windlass-audit/flow"
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = alltrue(concat([for gateway in values(alicloud_nat_gateway.this) : gateway.deletion_protection], [for address in values(alicloud_eip_address.nat) : address.deletion_protection]))
    error_message = "Gateways and addresses are protected: not so."
  }

  assert {
    condition     = alicloud_security_group_rule.nothing_else.policy == "drop"
    error_message = "What is not allowed out is dropped: not so."
  }

  assert {
    condition     = alicloud_vpc_flow_log.this.traffic_type == "All"
    error_message = "The flow log takes everything: not so."
  }
}

run "a_name_that_no_cloud_takes" {
  command = plan

  variables {
    name = "Windlass_EU"
  }

  expect_failures = [var.name]
}

run "nobody_owns_it" {
  command = plan

  variables {
    tags = { environment = "test" }
  }

  expect_failures = [var.tags]
}

run "a_region_that_is_none" {
  command = plan

  variables {
    region = "Frankfurt"
  }

  expect_failures = [var.region]
}

run "a_range_that_is_none" {
  command = plan

  variables {
    network = {
      cidr = "10.20.0.0"
      zones = {
        "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "cn-hangzhou-i" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
      }
    }
  }

  expect_failures = [var.network]
}

run "a_range_that_is_too_small" {
  command = plan

  variables {
    network = {
      cidr = "10.20.0.0/24"
      zones = {
        "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "cn-hangzhou-i" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
      }
    }
  }

  expect_failures = [var.network]
}

run "a_single_zone" {
  command = plan

  variables {
    network = {
      cidr = "10.20.0.0/16"
      zones = {
        "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
      }
    }
  }

  expect_failures = [var.network]
}

run "a_subnet_that_is_no_range" {
  command = plan

  variables {
    network = {
      cidr = "10.20.0.0/16"
      zones = {
        "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "cn-hangzhou-i" = { private_cidr = "ten", public_cidr = "10.20.129.0/24" }
      }
    }
  }

  expect_failures = [var.network]
}

run "two_subnets_of_one_range" {
  command = plan

  variables {
    network = {
      cidr = "10.20.0.0/16"
      zones = {
        "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "cn-hangzhou-i" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.129.0/24" }
      }
    }
  }

  expect_failures = [var.network]
}
