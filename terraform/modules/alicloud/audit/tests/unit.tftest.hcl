# audit on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "alicloud" {}

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = alicloud_actiontrail_trail.this.event_rw == "All" && alicloud_actiontrail_trail.this.trail_region == "All"
    error_message = "The trail takes reads and writes of every region: not so."
  }

  assert {
    condition     = alicloud_oss_bucket_public_access_block.this.block_public_access
    error_message = "The bucket is closed: not so."
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

run "an_account_that_is_none" {
  command = plan

  variables {
    account_id = "12"
  }

  expect_failures = [var.account_id]
}

run "records_that_go_too_soon" {
  command = plan

  variables {
    retention_days = 30
  }

  expect_failures = [var.retention_days]
}
