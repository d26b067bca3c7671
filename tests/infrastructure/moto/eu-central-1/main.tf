# A small root for the gates' whole way through a real provider and an API that answers: the AWS provider 3.39 of 2021,
# the newest that can be had offline, against moto. It is too old for the modules, so this root stands by itself.

terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "3.39.0"
    }
  }

  backend "local" {}
}

variable "endpoint" {
  description = "URL of moto."
  type        = string
}

provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  s3_force_path_style         = true

  endpoints {
    cloudwatchlogs = var.endpoint
    ec2            = var.endpoint
    iam            = var.endpoint
    kms            = var.endpoint
    sts            = var.endpoint
  }
}

locals {
  tags  = { owner = "platform" }
  zones = { "eu-central-1a" = "10.20.0.0/20", "eu-central-1b" = "10.20.16.0/20" }
}

resource "aws_kms_key" "this" {
  description             = "Flow logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.tags
}

resource "aws_cloudwatch_log_group" "flow" {
  name              = "windlass-flow"
  kms_key_id        = aws_kms_key.this.arn
  retention_in_days = 365
  tags              = local.tags
}

resource "aws_iam_role" "flow" {
  name = "windlass-flow"
  tags = local.tags

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "vpc-flow-logs.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_vpc" "this" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags                 = local.tags
}

resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value
  tags              = local.tags
}

resource "aws_flow_log" "this" {
  vpc_id          = aws_vpc.this.id
  traffic_type    = "ALL"
  iam_role_arn    = aws_iam_role.flow.arn
  log_destination = aws_cloudwatch_log_group.flow.arn
  tags            = local.tags
}
