output "audit_sink" {
  description = "Where other modules send their logs, and the SIEM reads: archive bucket, its key, target of flow logs."
  value = {
    archive  = aws_s3_bucket.this.id
    key_id   = aws_kms_key.this.arn
    flow_log = "${aws_s3_bucket.this.arn}/flow"
  }
  depends_on = [aws_s3_bucket_policy.this]
}

output "key_id" {
  description = "Key that audit records are encrypted with."
  value       = aws_kms_key.this.arn
}

output "trail_id" {
  description = "Id of the trail of API calls."
  value       = aws_cloudtrail.this.arn
}
