terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.262, < 2.0"
    }
  }
}

provider "alicloud" {
  region     = "cn-hangzhou"
  account_id = "1234567890123456"
}

module "identity" {
  source = "../.."

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

output "identity" {
  description = "Everything that the module gives."
  value       = module.identity
}
