output "bucket_ids" {
  description = "Full identifiers of the buckets, as policies name them, by key."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.arn }
}

output "bucket_names" {
  description = "Names of the buckets, by key; known only when they are closed to the public."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.id }
  depends_on  = [aws_s3_bucket_public_access_block.this, aws_s3_bucket_policy.this]
}

output "key_id" {
  description = "Key that the buckets are encrypted with."
  value       = aws_kms_key.this.arn
}
