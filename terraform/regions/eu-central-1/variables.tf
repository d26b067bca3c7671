variable "account_id" {
  description = "Account of this region."
  type        = string
  nullable    = false
}

variable "administrators" {
  description = "Who may do everything in the cluster, by a short key."
  type        = map(string)
  nullable    = false
}

variable "ci" {
  description = "How CI proves who it is; see module identity."
  type        = object({ issuer = string, audience = string, subjects = map(string) })
  nullable    = false
}

variable "cidr" {
  description = "Range of the network, /16: fifteen zones fit."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("/16$", var.cidr))
    error_message = "cidr is \"${var.cidr}\". Write a /16, for example \"10.20.0.0/16\"."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Prefix of every name."
  type        = string
  nullable    = false
}

variable "node_groups" {
  description = "Node groups by stable key; see module cluster."
  type        = map(object({ instance_types = list(string), min_size = number, max_size = number }))
  nullable    = false
}

variable "records" {
  description = "Weighted names; see module dns."
  type        = map(object({ host = string, ttl_seconds = number, targets = map(object({ address = string, weight = number })) }))
  nullable    = false
}

variable "region" {
  description = "Region of the cloud; the folder has the same name."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of every resource, `owner` among them."
  type        = map(string)
  nullable    = false
}

variable "zone" {
  description = "Domain of this region."
  type        = string
  nullable    = false
}

variable "zones" {
  description = "Zones with a number from 0 to 14 each, which is never given to another zone."
  type        = map(number)
  nullable    = false

  validation {
    condition     = alltrue([for number in values(var.zones) : number >= 0 && number <= 14 && floor(number) == number]) && length(distinct(values(var.zones))) == length(var.zones)
    error_message = "zones need whole numbers from 0 to 14, each once. Give a new zone the next free number and leave the others as they are."
  }
}
