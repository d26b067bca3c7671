output "backend" {
  description = "What `terraform init -backend-config` takes, one entry a line of the file; `key` is left to the root."
  value = {
    bucket       = aws_s3_bucket.this.id
    encrypt      = "true"
    kms_key_id   = aws_kms_key.this.arn
    region       = var.region
    use_lockfile = "true"
  }
}

output "key_id" {
  description = "Key that states are encrypted with."
  value       = aws_kms_key.this.arn
}
