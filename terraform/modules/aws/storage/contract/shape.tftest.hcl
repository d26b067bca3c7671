# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
  buckets = {
    uploads = {}
    archive = { abort_multipart_days = 3, expire_days = 90 }
  }
}

run "contract" {
  command = apply

  assert {
    condition     = toset(keys(output.bucket_names)) == toset(["archive", "uploads"]) && keys(output.bucket_names) == keys(output.bucket_ids)
    error_message = "A name for each key: not so."
  }
}
