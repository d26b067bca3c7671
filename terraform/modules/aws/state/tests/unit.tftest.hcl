# state on aws: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "aws" {}

variables {
  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled" && output.backend.use_lockfile == "true"
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
