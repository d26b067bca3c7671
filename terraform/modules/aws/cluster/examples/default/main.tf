terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.28, < 7.0"
    }
  }
}

provider "aws" {
  region              = "eu-central-1"
  allowed_account_ids = ["111122223333"]
}

module "cluster" {
  source = "../.."

  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
  network = {
    network_id         = "network-1"
    security_group_id  = "group-1"
    private_subnet_ids = { "eu-central-1a" = "subnet-a", "eu-central-1b" = "subnet-b" }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "arn:aws:kms:eu-central-1:111122223333:key/1"
    flow_log = "arn:aws:s3:::windlass-eu-audit-111122223333/flow"
  }
  administrators = { platform = "arn:aws:iam::111122223333:role/platform" }
  cluster = {
    version = "1.34"
    node_groups = {
      general = { instance_types = ["m7g.large"], min_size = 2, max_size = 6 }
    }
  }
}

output "cluster" {
  description = "Everything that the module gives."
  value       = module.cluster
}
