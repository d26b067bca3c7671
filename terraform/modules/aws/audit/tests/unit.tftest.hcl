# audit on aws: what is planned, and what each variable refuses. Nothing here reaches a cloud.

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
    condition     = aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.enable_log_file_validation
    error_message = "The trail covers every region and can be checked: not so."
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.this.restrict_public_buckets && aws_s3_bucket_public_access_block.this.block_public_acls
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
