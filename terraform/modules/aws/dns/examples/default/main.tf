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
