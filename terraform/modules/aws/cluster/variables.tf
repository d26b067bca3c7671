variable "account_id" {
  description = "Account that owns the resources; key and bucket policies name it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is \"${var.account_id}\". Write the 12 digits of the AWS account, for example \"111122223333\"."
  }
}

variable "addons" {
  description = "Add-ons by the cloud's name, with their version, or null for the one that the cloud recommends; they are resources of their own, so changing one works after creation."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for version in values(var.addons) : version == null ? true : can(regex("^v?[0-9]+[.]", version))])
    error_message = "An add-on's version is not exact. Write the version that was tested, or null, for example { coredns = \"v1.12.4-eksbuild.1\" }."
  }
}

variable "administrators" {
  description = "Who may do everything in the cluster, by a short key. Nobody else can; the creator gets no rights by creating."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.administrators) > 0
    error_message = "administrators is empty: nobody could enter the cluster. Name at least one principal."
  }

  validation {
    condition     = alltrue([for principal in values(var.administrators) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$", principal))])
    error_message = "An administrator is not a principal. Write an IAM ARN such as \"arn:aws:iam::111122223333:role/platform\"."
  }
}

variable "audit_sink" {
  description = "Where the control plane's audit log goes: the output `audit_sink` of the module `audit`."
  type = object({
    archive  = string
    key_id   = string
    flow_log = string
  })
  nullable = false
}

variable "cluster" {
  description = <<-EOT
    The cluster and its node groups by stable key. The API endpoint is private and deletion is protected; opening the
    endpoint needs a list of ranges. Volumes and Kubernetes secrets are encrypted with the module's key, always.
  EOT
  type = object({
    version                = string
    deletion_protection    = optional(bool, true)
    endpoint_public_access = optional(bool, false)
    public_access_cidrs    = optional(set(string), [])
    service_cidr           = optional(string, "172.20.0.0/16")
    node_groups = map(object({
      instance_types = list(string)
      min_size       = number
      max_size       = number
      disk_gib       = optional(number, 100)
      labels         = optional(map(string), {})
      taints = optional(map(object({
        value  = optional(string, "true")
        effect = optional(string, "NoSchedule")
      })), {})
    }))
  })
  nullable = false

  validation {
    condition     = can(regex("^1[.][0-9]{2}$", var.cluster.version))
    error_message = "cluster.version is \"${var.cluster.version}\". Write the minor version only, for example \"1.34\"."
  }

  validation {
    condition     = !var.cluster.endpoint_public_access || length(var.cluster.public_access_cidrs) > 0
    error_message = "The API endpoint is public without a list of ranges. Set public_access_cidrs to the ranges of your bastions or VPN, or leave endpoint_public_access false."
  }

  validation {
    condition     = alltrue([for cidr in var.cluster.public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "public_access_cidrs has a range wider than /16 or no CIDR. Write the addresses of your bastions or VPN, for example \"203.0.113.10/32\"."
  }

  validation {
    condition     = length(var.cluster.node_groups) > 0
    error_message = "cluster.node_groups is empty. Define at least one, for example { general = { instance_types = [\"m7g.large\"], min_size = 2, max_size = 6 } }."
  }

  validation {
    condition     = alltrue([for group in values(var.cluster.node_groups) : group.min_size >= 1 && group.max_size >= group.min_size])
    error_message = "A node group's sizes do not fit. Write min_size of 1 or more, and max_size not below min_size."
  }

  validation {
    condition     = alltrue([for group in values(var.cluster.node_groups) : group.disk_gib >= 40 && group.disk_gib <= 2000])
    error_message = "A node group's disk_gib must be from 40 to 2000: below 40 the images of the platform do not fit."
  }

  validation {
    condition = alltrue(flatten([
      for group in values(var.cluster.node_groups) : [
        for taint in values(group.taints) : contains(["NoSchedule", "PreferNoSchedule", "NoExecute"], taint.effect)
      ]
    ]))
    error_message = "A taint's effect must be NoSchedule, PreferNoSchedule or NoExecute."
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

variable "network" {
  description = "The outputs of the module `network` that nodes need: id, private subnets by zone, and the nodes' security group."
  type = object({
    network_id         = string
    private_subnet_ids = map(string)
    security_group_id  = string
  })
  nullable = false

  validation {
    condition     = length(var.network.private_subnet_ids) >= 2
    error_message = "network.private_subnet_ids has fewer than two zones. Pass private_subnet_ids of the module `network` unchanged."
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
