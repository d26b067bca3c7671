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

module "cluster" {
  source = "../.."

  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
  network = {
    network_id         = "network-1"
    security_group_id  = "group-1"
    private_subnet_ids = { "cn-hangzhou-h" = "subnet-a", "cn-hangzhou-i" = "subnet-b" }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "key-1"
    flow_log = "windlass-audit/flow"
  }
  administrators = { platform = "300000000000000001" }
  cluster = {
    version = "1.34"
    node_groups = {
      general = { instance_types = ["ecs.g8y.xlarge"], min_size = 2, max_size = 6 }
    }
  }
}

output "cluster" {
  description = "Everything that the module gives."
  value       = module.cluster
}
