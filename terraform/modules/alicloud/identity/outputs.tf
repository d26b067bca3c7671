output "ci_role_ids" {
  description = "Roles that CI assumes, by `plan` and `apply`. `apply` has no rights until the account's owners attach some."
  value       = { for stage, role in alicloud_ram_role.ci : stage => role.arn }
}

output "workload_annotations" {
  description = "Annotations that a service account needs in its chart, by key; its namespace needs the label pod-identity.alibabacloud.com/injection=on."
  value = { for key, role in alicloud_ram_role.workload : key => {
    "pod-identity.alibabacloud.com/role-name" = role.role_name
  } }
}

output "workload_role_ids" {
  description = "Roles of the service accounts, by key."
  value       = { for key, role in alicloud_ram_role.workload : key => role.arn }
  depends_on  = [alicloud_ram_role_policy_attachment.workload]
}
