# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
  network = {
    network_id         = "network-1"
    security_group_id  = "group-1"
    private_subnet_ids = { "eu-central-1a" = "subnet-a", "eu-central-1b" = "subnet-b" }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "arn:aws:kms:eu-central-1:111122223333:key/1"
    flow_log = "arn:aws:s3:::windlass-eu-audit-111122223333/flow"
  }
  administrators = { platform = "arn:aws:iam::111122223333:role/platform" }
  cluster = {
    version = "1.34"
    node_groups = {
      general = { instance_types = ["m7g.large"], min_size = 2, max_size = 6 }
    }
  }
}

run "contract" {
  command = apply

  assert {
    condition     = output.cluster_name == "windlass-test"
    error_message = "The name is the caller's: not so."
  }

  assert {
    condition     = length(output.oidc_issuer_url) > 0 && length(output.cluster_endpoint) > 0 && length(output.cluster_ca) > 0
    error_message = "Everything that identity needs is there: not so."
  }
}
