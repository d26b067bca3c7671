variable "account_id" {
  description = "Account that owns the resources; key and bucket policies name it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{16}$", var.account_id))
    error_message = "account_id is \"${var.account_id}\". Write the 16 digits of the Alibaba Cloud account, for example \"1234567890123456\"."
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
    condition     = can(regex("^[a-z]{2}-[a-z]+(-[0-9])?$", var.region))
    error_message = "region is \"${var.region}\". Write an Alibaba Cloud region such as \"cn-hangzhou\"."
  }
}

variable "retention_days" {
  description = "Days that audit records are kept before they are deleted."
  type        = number
  default     = 400
  nullable    = false

  validation {
    condition     = var.retention_days >= 365
    error_message = "retention_days is ${var.retention_days}. Write 365 or more: an incident is often found months later."
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
