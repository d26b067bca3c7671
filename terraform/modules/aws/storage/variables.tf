variable "account_id" {
  description = "Account that owns the resources; key and bucket policies name it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is \"${var.account_id}\". Write the 12 digits of the AWS account, for example \"111122223333\"."
  }
}

variable "buckets" {
  description = <<-EOT
    Buckets by a short key that ends their name and stays in the state. Every bucket is private, versioned and encrypted
    with the module's key, and no variable turns that off. `abort_multipart_days` ends multipart uploads that nobody
    finishes: it must be longer than the 24 hours after which Windlass gives up an upload. `expire_days = null` keeps
    objects for ever.
  EOT
  type = map(object({
    abort_multipart_days = optional(number, 7)
    expire_days          = optional(number)
    noncurrent_days      = optional(number, 30)
  }))
  nullable = false

  validation {
    condition     = alltrue([for key in keys(var.buckets) : can(regex("^[a-z][a-z0-9-]{1,20}$", key))])
    error_message = "A bucket's key cannot end a bucket's name. Write 2 to 21 lower case letters, digits or hyphens, for example \"uploads\"."
  }

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.abort_multipart_days >= 2 && bucket.abort_multipart_days <= 30])
    error_message = "abort_multipart_days must be from 2 to 30: below 2 running uploads would lose their parts, above 30 abandoned parts are paid for."
  }

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.expire_days == null ? true : bucket.expire_days >= 1])
    error_message = "expire_days must be 1 or more, or left out to keep objects for ever."
  }
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

variable "region" {
  description = "Region of the provider that the caller passes in; policies and endpoints name it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is \"${var.region}\". Write an AWS region such as \"eu-central-1\"."
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
