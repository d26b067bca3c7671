# The same assertions hold for both twins; the suite applies them on the schema stub (tests/infrastructure).

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
}

run "contract" {
  command = apply

  assert {
    condition     = output.backend.encrypt == "true"
    error_message = "The backend encrypts: not so."
  }
}
