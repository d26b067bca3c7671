output "ci_role_ids" {
  description = "Roles that CI assumes, by `plan` and `apply`. `apply` has no rights until the account's owners attach some."
  value       = { for stage, role in aws_iam_role.ci : stage => role.arn }
}

output "workload_annotations" {
  description = "Annotations that a service account needs in its chart, by key. Pod Identity needs none."
  value       = { for key, account in var.service_accounts : key => {} }
}

output "workload_role_ids" {
  description = "Roles of the service accounts, by key."
  value       = { for key, role in aws_iam_role.workload : key => role.arn }
  depends_on  = [aws_eks_pod_identity_association.workload]
}
