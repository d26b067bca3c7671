# network on aws: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "aws" {}

variables {
  name   = "windlass-test"
  region = "eu-central-1"
  tags   = { owner = "platform" }
  network = {
    cidr = "10.20.0.0/16"
    zones = {
      "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
      "eu-central-1b" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
    }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "arn:aws:kms:eu-central-1:111122223333:key/1"
    flow_log = "arn:aws:s3:::windlass-eu-audit-111122223333/flow"
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : !subnet.map_public_ip_on_launch])
    error_message = "Subnets give no public addresses: not so."
  }

  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default group is closed: not so."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL"
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
        "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "eu-central-1b" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
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
        "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "eu-central-1b" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
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
        "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
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
        "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "eu-central-1b" = { private_cidr = "ten", public_cidr = "10.20.129.0/24" }
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
        "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
        "eu-central-1b" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.129.0/24" }
      }
    }
  }

  expect_failures = [var.network]
}
