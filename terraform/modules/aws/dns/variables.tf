variable "name" {
  description = "Prefix of every name in this module: lower case letters, digits and hyphens, 3 to 32 characters."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\". Write 3 to 32 lower case letters, digits or hyphens, beginning with a letter, for example \"windlass-eu\"."
  }
}

variable "records" {
  description = <<-EOT
    Weighted names by a short key. `targets` are the places that traffic goes to; a weight of 0 takes a target out and
    keeps it. The TTL is what is asked for: what a resolver really sees is the output `effective_ttl_seconds`.
  EOT
  type = map(object({
    host        = string
    ttl_seconds = optional(number, 60)
    targets = map(object({
      address     = string
      weight      = number
      health_path = optional(string, "/readyz")
    }))
  }))
  nullable = false

  validation {
    condition     = alltrue([for record in values(var.records) : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?)$", record.host))])
    error_message = "A record's host must be one label below the zone, for example \"upload\"."
  }

  validation {
    condition     = alltrue([for record in values(var.records) : record.ttl_seconds >= 1 && record.ttl_seconds <= 600])
    error_message = "ttl_seconds must be from 1 to 600: a region migration waits out the TTL, and ten minutes is the longest it may wait."
  }

  validation {
    condition     = alltrue(flatten([for record in values(var.records) : [for target in values(record.targets) : target.weight >= 0 && target.weight <= 100 && floor(target.weight) == target.weight]]))
    error_message = "A weight must be a whole number from 0 to 100."
  }

  validation {
    condition     = alltrue([for record in values(var.records) : sum(concat([0], [for target in values(record.targets) : target.weight])) > 0])
    error_message = "All targets of a record weigh 0, so the name would answer nothing. Give at least one target a weight of 1 or more."
  }

  validation {
    condition     = alltrue(flatten([for record in values(var.records) : [for target in values(record.targets) : can(cidrhost("${target.address}/32", 0))]]))
    error_message = "A target's address must be an IPv4 address, for example \"203.0.113.10\"."
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

variable "zone" {
  description = "Domain that this module serves."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.zone))
    error_message = "zone is \"${var.zone}\". Write the domain in lower case without a dot at its end, for example \"eu.example.com\"."
  }
}
