# identity on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "alicloud" {}

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  tags       = { owner = "platform" }
  ci = {
    issuer   = "https://token.actions.githubusercontent.com"
    audience = "windlass"
    subjects = {
      plan  = "repo:example/platform:pull_request"
      apply = "repo:example/platform:environment:production"
    }
  }
  cluster = {
    cluster_name    = "windlass-test"
    oidc_issuer_url = "https://oidc.example.com/id/1"
  }
  service_accounts = {
    upload = {
      namespace       = "windlass"
      service_account = "windlass-upload"
      buckets         = { windlass-test-uploads = "write" }
      key_ids         = { storage = "key-1" }
    }
    push = {
      namespace       = "windlass"
      service_account = "windlass-push"
    }
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = strcontains(alicloud_ram_role.workload["upload"].assume_role_policy_document, "system:serviceaccount:windlass:windlass-upload")
    error_message = "A role belongs to one service account: not so."
  }

  assert {
    condition     = join(",", keys(alicloud_ram_policy.workload)) == "upload"
    error_message = "Only who was given rights has a policy: not so."
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

run "an_account_that_is_none" {
  command = plan

  variables {
    account_id = "12"
  }

  expect_failures = [var.account_id]
}

run "an_issuer_without_tls" {
  command = plan

  variables {
    ci = { issuer = "http://ci.example.com", audience = "windlass", subjects = { plan = "repo:example/platform:pull_request", apply = "repo:example/platform:environment:production" } }
  }

  expect_failures = [var.ci]
}

run "subjects_by_wildcard" {
  command = plan

  variables {
    ci = { issuer = "https://ci.example.com", audience = "windlass", subjects = { plan = "repo:example/*", apply = "repo:example/platform:ref" } }
  }

  expect_failures = [var.ci]
}

run "no_subject_that_applies" {
  command = plan

  variables {
    ci = { issuer = "https://ci.example.com", audience = "windlass", subjects = { plan = "repo:example/platform:pull_request" } }
  }

  expect_failures = [var.ci]
}

run "any_service_account" {
  command = plan

  variables {
    service_accounts = { upload = { namespace = "windlass", service_account = "*" } }
  }

  expect_failures = [var.service_accounts]
}

run "a_right_that_is_none" {
  command = plan

  variables {
    service_accounts = { upload = { namespace = "windlass", service_account = "upload", buckets = { b = "admin" } } }
  }

  expect_failures = [var.service_accounts]
}
