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

module "audit" {
  source = "../.."

  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
}

output "audit" {
  description = "Everything that the module gives."
  value       = module.audit
}
