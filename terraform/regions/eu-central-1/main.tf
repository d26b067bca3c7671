# One region. Every root of this cloud has this very file; what differs is in region.auto.tfvars.

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
}

locals {
  # A zone's number is written beside its name, so adding one never renumbers the others.
  _zones = {
    for zone, number in var.zones : zone => {
      private_cidr = cidrsubnet(var.cidr, 4, number)
      public_cidr  = cidrsubnet(var.cidr, 8, 240 + number)
    }
  }
  # What the charts need before they are installed: volumes, names, network policies, metrics.
  _addons = {
    "aws-ebs-csi-driver" = null
    "coredns"            = null
    "kube-proxy"         = null
    "metrics-server"     = null
    "vpc-cni"            = null
  }
}

module "audit" {
  source = "../../modules/aws/audit"

  account_id = var.account_id
  name       = var.name
  region     = var.region
  tags       = var.tags
}

module "network" {
  source = "../../modules/aws/network"

  name       = var.name
  region     = var.region
  tags       = var.tags
  network    = { cidr = var.cidr, zones = local._zones }
  audit_sink = module.audit.audit_sink
}

module "cluster" {
  source = "../../modules/aws/cluster"

  account_id     = var.account_id
  name           = var.name
  region         = var.region
  tags           = var.tags
  network        = module.network
  cluster        = { version = var.kubernetes_version, node_groups = var.node_groups }
  administrators = var.administrators
  addons         = local._addons
  audit_sink     = module.audit.audit_sink
}

module "storage" {
  source = "../../modules/aws/storage"

  account_id = var.account_id
  name       = var.name
  region     = var.region
  tags       = var.tags
  buckets    = { uploads = {} }
}

module "identity" {
  source = "../../modules/aws/identity"

  account_id = var.account_id
  name       = var.name
  tags       = var.tags
  cluster    = module.cluster
  ci         = var.ci

  # The charts' service accounts; only the upload service touches the bucket.
  service_accounts = {
    upload = {
      namespace       = "windlass"
      service_account = "windlass-upload"
      buckets         = { "${var.name}-uploads" = "write" }
      key_ids         = { storage = module.storage.key_id }
    }
    push     = { namespace = "windlass", service_account = "windlass-push" }
    operator = { namespace = "windlass-system", service_account = "windlass-operator" }
  }
}

module "dns" {
  source = "../../modules/aws/dns"

  name    = var.name
  tags    = var.tags
  zone    = var.zone
  records = var.records
}
