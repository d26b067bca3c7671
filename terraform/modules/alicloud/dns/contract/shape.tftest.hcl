# The same assertions hold for both twins. They apply, so they are not among the tests that `terraform test` finds by itself:
# tests/infrastructure runs them, on the schema stub.

variables {
  name = "windlass-test"
  tags = { owner = "platform" }
  zone = "eu.example.com"
  records = {
    upload = {
      host        = "upload"
      ttl_seconds = 90
      targets = {
        eu = { address = "203.0.113.10", weight = 90 }
        cn = { address = "203.0.113.20", weight = 10 }
      }
    }
    push = {
      host = "push"
      targets = {
        eu = { address = "203.0.113.11", weight = 1 }
        cn = { address = "203.0.113.21", weight = 0 }
      }
    }
  }
}

run "contract" {
  command = apply

  assert {
    condition     = output.effective_ttl_seconds.upload >= 90 && output.effective_ttl_seconds.push >= 60
    error_message = "The effective TTL is never shorter than what was asked for: not so."
  }

  assert {
    condition     = output.weights.upload.eu == 90 && output.weights.push.cn == 0
    error_message = "Weights are what was asked for: not so."
  }
}
