variable "account_id" {
  description = "Account that owns the resources; key and bucket policies name it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is \"${var.account_id}\". Write the 12 digits of the AWS account, for example \"111122223333\"."
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

variable "noncurrent_days" {
  description = "Days that replaced versions of a state are kept, to go back to."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.noncurrent_days >= 30
    error_message = "noncurrent_days is ${var.noncurrent_days}. Write 30 or more, so that a broken state can be rolled back."
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
