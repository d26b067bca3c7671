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

module "audit" {
  source = "../.."

  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
}

output "audit" {
  description = "Everything that the module gives."
  value       = module.audit
}
