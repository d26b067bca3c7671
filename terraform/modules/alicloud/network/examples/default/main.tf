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

module "network" {
  source = "../.."

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

output "network" {
  description = "Everything that the module gives."
  value       = module.network
}
