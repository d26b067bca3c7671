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

module "network" {
  source = "../.."

  name   = "windlass-test"
  region = "eu-central-1"
  tags   = { owner = "platform" }
  network = {
    cidr = "10.20.0.0/16"
    zones = {
      "eu-central-1a" = { private_cidr = "10.20.0.0/20", public_cidr = "10.20.128.0/24" }
      "eu-central-1b" = { private_cidr = "10.20.16.0/20", public_cidr = "10.20.129.0/24" }
    }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "arn:aws:kms:eu-central-1:111122223333:key/1"
    flow_log = "arn:aws:s3:::windlass-eu-audit-111122223333/flow"
  }
}

output "network" {
  description = "Everything that the module gives."
  value       = module.network
}
