# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
}

run "contract" {
  command = apply

  assert {
    condition     = output.backend.encrypt == "true"
    error_message = "The backend encrypts: not so."
  }
}
