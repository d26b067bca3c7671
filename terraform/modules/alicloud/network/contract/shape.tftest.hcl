# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  name   = "windlass-test"
  region = "cn-hangzhou"
  tags   = { owner = "platform" }
  network = {
    cidr = "10.20.0.0/16"
    zones = {
      "cn-hangzhou-h" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
      "cn-hangzhou-i" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
    }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "key-1"
    flow_log = "windlass-audit/flow"
  }
}

run "contract" {
  command = apply

  assert {
    condition     = length(output.private_subnet_ids) == 2 && keys(output.private_subnet_ids) == keys(output.public_subnet_ids)
    error_message = "Two zones have private and public subnets: not so."
  }

  assert {
    condition     = length(output.egress_addresses) == 2
    error_message = "Each zone has its own way out: not so."
  }
}
