variable "audit_sink" {
  description = "Where flow logs go: the output `audit_sink` of the module `audit`."
  type = object({
    archive  = string
    key_id   = string
    flow_log = string
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

variable "network" {
  description = <<-EOT
    Address range of the network and its zones. The key of a zone is the cloud's own name of it and is what the state
    remembers, so adding or removing one leaves the others alone. `nat_per_zone = false` saves gateways and makes all
    egress depend on the first zone.
  EOT
  type = object({
    cidr         = string
    nat_per_zone = optional(bool, true)
    zones = map(object({
      private_cidr = string
      public_cidr  = string
    }))
  })
  nullable = false

  validation {
    condition     = can(cidrhost(var.network.cidr, 1)) && try(tonumber(split("/", var.network.cidr)[1]) <= 20, false)
    error_message = "network.cidr is \"${var.network.cidr}\". Write a private IPv4 range of /20 or larger, for example \"10.20.0.0/16\"."
  }

  validation {
    condition     = length(var.network.zones) >= 2
    error_message = "network.zones has ${length(var.network.zones)} zone. Name at least two, so that the loss of one is survived."
  }

  validation {
    condition = alltrue(flatten([
      for zone in values(var.network.zones) : [
        for cidr in [zone.private_cidr, zone.public_cidr] : can(cidrhost(cidr, 1))
      ]
    ]))
    error_message = "A zone has a range that is no CIDR. Write private_cidr and public_cidr as \"10.20.0.0/20\"."
  }

  validation {
    condition = length(distinct(flatten([
      for zone in values(var.network.zones) : [zone.private_cidr, zone.public_cidr]
    ]))) == 2 * length(var.network.zones)
    error_message = "Two subnets have the same range. Give every private_cidr and public_cidr a range of its own inside network.cidr."
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
