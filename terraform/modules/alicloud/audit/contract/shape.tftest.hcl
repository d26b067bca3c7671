# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
}

run "contract" {
  command = apply

  assert {
    condition     = toset(keys(output.audit_sink)) == toset(["archive", "flow_log", "key_id"])
    error_message = "The sink names archive, key and target: not so."
  }
}
