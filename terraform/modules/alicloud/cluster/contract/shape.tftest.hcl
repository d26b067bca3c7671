# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
  network = {
    network_id         = "network-1"
    security_group_id  = "group-1"
    private_subnet_ids = { "cn-hangzhou-h" = "subnet-a", "cn-hangzhou-i" = "subnet-b" }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "key-1"
    flow_log = "windlass-audit/flow"
  }
  administrators = { platform = "300000000000000001" }
  cluster = {
    version = "1.34"
    node_groups = {
      general = { instance_types = ["ecs.g8y.xlarge"], min_size = 2, max_size = 6 }
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
