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

module "dns" {
  source = "../.."

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

output "dns" {
  description = "Everything that the module gives."
  value       = module.dns
}
