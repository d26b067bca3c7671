# Everything here is wrong on purpose: the gate scan requires every check to find something in this folder.

provider "aws" {
  region     = "eu-central-1"
  access_key = "AKIAIOSFODNN7EXAMPLE"                     # AWS's own example of a key that opens nothing
  secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" # the same
}

resource "aws_vpc" "bad" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "bad" {
  vpc_id                  = aws_vpc.bad.id
  cidr_block              = "10.0.0.0/24"
  map_public_ip_on_launch = true
}

resource "aws_security_group" "bad" {
  vpc_id = aws_vpc.bad.id

  ingress {
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_s3_bucket" "bad" {
  bucket = "bad"
}

resource "aws_s3_bucket_public_access_block" "bad" {
  bucket                  = aws_s3_bucket.bad.id
  block_public_acls       = false
  block_public_policy     = false
  ignore_public_acls      = false
  restrict_public_buckets = false
}

resource "aws_s3_bucket_lifecycle_configuration" "bad" {
  bucket = aws_s3_bucket.bad.id

  rule {
    id     = "expiry"
    status = "Enabled"

    expiration {
      days = 30
    }
  }
}

resource "aws_kms_key" "bad" {
  enable_key_rotation = false
}

resource "aws_cloudtrail" "bad" {
  name                       = "bad"
  s3_bucket_name             = aws_s3_bucket.bad.id
  is_multi_region_trail      = false
  enable_log_file_validation = false
}

resource "aws_cloudwatch_log_group" "bad" {
  name = "bad"
}

resource "aws_eks_cluster" "bad" {
  name                      = "bad"
  role_arn                  = "arn:aws:iam::111122223333:role/bad"
  enabled_cluster_log_types = ["api"]

  vpc_config {
    subnet_ids = [aws_subnet.bad.id]
  }
}

resource "aws_launch_template" "bad" {
  name = "bad"

  metadata_options {
    http_tokens = "optional"
  }
}

resource "aws_db_instance" "bad" {
  instance_class      = "db.m7g.large"
  engine              = "mariadb"
  storage_encrypted   = false
  publicly_accessible = true
}

resource "aws_elasticache_replication_group" "bad" {
  replication_group_id       = "bad"
  description                = "bad"
  at_rest_encryption_enabled = false
  transit_encryption_enabled = false
}

resource "aws_iam_role_policy" "bad" {
  name = "bad"
  role = "bad"

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "*", Resource = "arn:aws:s3:::bad" }]
  })
}
