# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

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

run "contract" {
  command = apply

  assert {
    condition     = toset(keys(output.workload_role_ids)) == toset(["push", "upload"])
    error_message = "A role for each service account: not so."
  }

  assert {
    condition     = toset(keys(output.ci_role_ids)) == toset(["apply", "plan"])
    error_message = "CI plans and applies as two roles: not so."
  }
}
