variable "account_id" {
  description = "Account that owns the resources; key and bucket policies name it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{16}$", var.account_id))
    error_message = "account_id is \"${var.account_id}\". Write the 16 digits of the Alibaba Cloud account, for example \"1234567890123456\"."
  }
}

variable "ci" {
  description = <<-EOT
    How CI proves who it is: OIDC tokens of one issuer, for listed subjects. `plan` may read, `apply` may change; there
    are no access keys. A subject is compared whole, without wildcards, so a fork or a branch cannot pass for main.
  EOT
  type = object({
    issuer   = string
    audience = string
    subjects = map(string)
  })
  nullable = false

  validation {
    condition     = can(regex("^https://[a-z0-9.-]+(/[A-Za-z0-9._/-]+)?$", var.ci.issuer))
    error_message = "ci.issuer is \"${var.ci.issuer}\". Write the issuer's https URL without a slash at its end, for example \"https://token.actions.githubusercontent.com\"."
  }

  validation {
    condition     = toset(keys(var.ci.subjects)) == toset(["apply", "plan"]) && alltrue([for subject in values(var.ci.subjects) : can(regex("^[^*?]{3,}$", subject))])
    error_message = "ci.subjects must have the keys plan and apply, each a whole subject without * or ?, for example \"repo:example/platform:environment:production\"."
  }
}

variable "cluster" {
  description = "The outputs `cluster_name` and `oidc_issuer_url` of the module `cluster`."
  type = object({
    cluster_name    = string
    oidc_issuer_url = string
  })
  nullable = false
}

variable "name" {
  description = "Prefix of every name in this module: lower case letters, digits and hyphens, 3 to 32 characters."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\". Write 3 to 32 lower case letters, digits or hyphens, beginning with a letter, for example \"windlass-eu\"."
  }
}

variable "service_accounts" {
  description = <<-EOT
    Rights of the charts' service accounts, by a short key. A role can be assumed by exactly one service account of one
    namespace. `buckets` maps a bucket's name to `read` or `write` (which includes reading and aborting multipart
    uploads); `key_ids` are the keys that those buckets are encrypted with.
  EOT
  type = map(object({
    namespace       = string
    service_account = string
    buckets         = optional(map(string), {})
    key_ids         = optional(map(string), {})
  }))
  nullable = false

  validation {
    condition = alltrue([
      for account in values(var.service_accounts) :
      can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", account.namespace)) && can(regex("^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$", account.service_account))
    ])
    error_message = "A service account is not named exactly. Write namespace and service_account as Kubernetes has them, without wildcards."
  }

  validation {
    condition     = alltrue(flatten([for account in values(var.service_accounts) : [for right in values(account.buckets) : contains(["read", "write"], right)]]))
    error_message = "A right on a bucket is neither read nor write. Write buckets = { \"bucket-name\" = \"read\" } or \"write\"."
  }
}

variable "tags" {
  description = "Tags of every resource. `owner` is required: it is who gets the alert when a gate blocks or drift is found."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(lookup(var.tags, "owner", "")) > 0
    error_message = "tags has no owner. Add the team that answers for these resources: tags = { owner = \"platform\" }."
  }
}
