# state on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

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
    condition     = alicloud_oss_bucket_versioning.this.status == "Enabled" && alicloud_ots_table.lock.table_name == output.backend.tablestore_table
    error_message = "States are versioned and locked: not so."
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

run "versions_that_go_too_soon" {
  command = plan

  variables {
    noncurrent_days = 7
  }

  expect_failures = [var.noncurrent_days]
}
