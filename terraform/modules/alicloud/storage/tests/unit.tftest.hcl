# storage on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "alicloud" {}

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
  buckets = {
    uploads = {}
    archive = { abort_multipart_days = 3, expire_days = 90 }
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = one(one([for rule in alicloud_oss_bucket.this["archive"].lifecycle_rule : rule if rule.id == "abandoned"]).abort_multipart_upload).days == 3
    error_message = "Abandoned parts go when the caller says: not so."
  }

  assert {
    condition     = alltrue([for each in values(alicloud_oss_bucket_server_side_encryption.this) : each.sse_algorithm == "KMS"])
    error_message = "Every bucket is encrypted with a key: not so."
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

run "a_key_that_cannot_end_a_name" {
  command = plan

  variables {
    buckets = { "Uploads_" = {} }
  }

  expect_failures = [var.buckets]
}

run "parts_that_go_under_a_running_upload" {
  command = plan

  variables {
    buckets = { uploads = { abort_multipart_days = 1 } }
  }

  expect_failures = [var.buckets]
}

run "parts_that_stay_for_months" {
  command = plan

  variables {
    buckets = { uploads = { abort_multipart_days = 90 } }
  }

  expect_failures = [var.buckets]
}

run "objects_that_expire_at_once" {
  command = plan

  variables {
    buckets = { uploads = { expire_days = 0 } }
  }

  expect_failures = [var.buckets]
}
