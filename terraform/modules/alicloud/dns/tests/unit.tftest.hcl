# dns on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "alicloud" {}

variables {
  name = "windlass-test"
  tags = { owner = "platform" }
  zone = "eu.example.com"
  records = {
    upload = {
      host        = "upload"
      ttl_seconds = 90
      targets = {
        eu = { address = "203.0.113.10", weight = 90 }
        cn = { address = "203.0.113.20", weight = 10 }
      }
    }
    push = {
      host = "push"
      targets = {
        eu = { address = "203.0.113.11", weight = 1 }
        cn = { address = "203.0.113.21", weight = 0 }
      }
    }
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = output.effective_ttl_seconds.upload == 120
    error_message = "GTM rounds the TTL up: not so."
  }

  assert {
    condition     = anytrue([for address in alicloud_alidns_address_pool.this["push"].address : address.mode == "OFFLINE"])
    error_message = "A target of weight 0 is offline: not so."
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

run "a_zone_with_a_dot_at_its_end" {
  command = plan

  variables {
    zone = "eu.example.com."
  }

  expect_failures = [var.zone]
}

run "a_host_of_two_labels" {
  command = plan

  variables {
    records = { upload = { host = "a.b", ttl_seconds = 60, targets = { eu = { address = "203.0.113.10", weight = 1 } } } }
  }

  expect_failures = [var.records]
}

run "a_ttl_longer_than_a_migration_waits" {
  command = plan

  variables {
    records = { upload = { host = "upload", ttl_seconds = 3600, targets = { eu = { address = "203.0.113.10", weight = 1 } } } }
  }

  expect_failures = [var.records]
}

run "a_weight_that_is_no_whole_number" {
  command = plan

  variables {
    records = { upload = { host = "upload", ttl_seconds = 60, targets = { eu = { address = "203.0.113.10", weight = 0.5 } } } }
  }

  expect_failures = [var.records]
}

run "a_name_that_answers_nothing" {
  command = plan

  variables {
    records = { upload = { host = "upload", ttl_seconds = 60, targets = { eu = { address = "203.0.113.10", weight = 0 } } } }
  }

  expect_failures = [var.records]
}

run "an_address_that_is_none" {
  command = plan

  variables {
    records = { upload = { host = "upload", ttl_seconds = 60, targets = { eu = { address = "upload.example.com", weight = 1 } } } }
  }

  expect_failures = [var.records]
}
