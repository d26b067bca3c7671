# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  name   = "windlass-test"
  region = "eu-central-1"
  tags   = { owner = "platform" }
  network = {
    cidr = "10.20.0.0/16"
    zones = {
      "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
      "eu-central-1b" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
    }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "arn:aws:kms:eu-central-1:111122223333:key/1"
    flow_log = "arn:aws:s3:::windlass-eu-audit-111122223333/flow"
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
