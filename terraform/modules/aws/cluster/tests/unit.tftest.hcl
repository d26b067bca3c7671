# cluster on aws: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "aws" {}

variables {
  account_id = "111122223333"
  name       = "windlass-test"
  region     = "eu-central-1"
  tags       = { owner = "platform" }
  network = {
    network_id         = "network-1"
    security_group_id  = "group-1"
    private_subnet_ids = { "eu-central-1a" = "subnet-a", "eu-central-1b" = "subnet-b" }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "arn:aws:kms:eu-central-1:111122223333:key/1"
    flow_log = "arn:aws:s3:::windlass-eu-audit-111122223333/flow"
  }
  administrators = { platform = "arn:aws:iam::111122223333:role/platform" }
  cluster = {
    version = "1.34"
    node_groups = {
      general = { instance_types = ["m7g.large"], min_size = 2, max_size = 6 }
    }
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = !one(aws_eks_cluster.this.vpc_config).endpoint_public_access && aws_eks_cluster.this.deletion_protection
    error_message = "The endpoint is private and deletion is protected: not so."
  }

  assert {
    condition     = !one(aws_eks_cluster.this.access_config).bootstrap_cluster_creator_admin_permissions
    error_message = "The creator gets no rights: not so."
  }

  assert {
    condition     = alltrue([for template in values(aws_launch_template.node) : one(one(template.block_device_mappings).ebs).encrypted == "true" && one(template.metadata_options).http_tokens == "required"])
    error_message = "Volumes are encrypted and metadata needs a token: not so."
  }
}

run "a_name_that_no_cloud_takes" {
  command = plan

  variables {
    name = "Windlass_EU"
  }

  expect_failures = [var.name]
}

run "nobody_owns_it" {
  command = plan

  variables {
    tags = { environment = "test" }
  }

  expect_failures = [var.tags]
}

run "a_region_that_is_none" {
  command = plan

  variables {
    region = "Frankfurt"
  }

  expect_failures = [var.region]
}

run "an_account_that_is_none" {
  command = plan

  variables {
    account_id = "12"
  }

  expect_failures = [var.account_id]
}

run "an_add_on_of_any_version" {
  command = plan

  variables {
    addons = { coredns = "latest" }
  }

  expect_failures = [var.addons]
}

run "nobody_may_enter" {
  command = plan

  variables {
    administrators = {}
  }

  expect_failures = [var.administrators]
}

run "an_administrator_that_is_none" {
  command = plan

  variables {
    administrators = { platform = "platform" }
  }

  expect_failures = [var.administrators]
}

run "a_version_with_a_patch" {
  command = plan

  variables {
    cluster = {
      version = "1.34.2"
      node_groups = {
        general = { instance_types = ["m7g.large"], min_size = 2, max_size = 6 }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "a_public_endpoint_for_everybody" {
  command = plan

  variables {
    cluster = {
      version                = "1.34"
      endpoint_public_access = true
      node_groups = {
        general = { instance_types = ["m7g.large"], min_size = 2, max_size = 6 }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "a_public_endpoint_for_half_the_internet" {
  command = plan

  variables {
    cluster = {
      version                = "1.34"
      endpoint_public_access = true
      public_access_cidrs    = ["0.0.0.0/1"]
      node_groups = {
        general = { instance_types = ["m7g.large"], min_size = 2, max_size = 6 }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "no_nodes" {
  command = plan

  variables {
    cluster = {
      version = "1.34"
      node_groups = {

      }
    }
  }

  expect_failures = [var.cluster]
}

run "a_group_that_shrinks_below_its_least" {
  command = plan

  variables {
    cluster = {
      version = "1.34"
      node_groups = {
        general = { instance_types = ["m7g.large"], min_size = 4, max_size = 2 }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "a_disk_too_small_for_images" {
  command = plan

  variables {
    cluster = {
      version = "1.34"
      node_groups = {
        general = { instance_types = ["m7g.large"], min_size = 1, max_size = 2, disk_gib = 20 }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "a_taint_without_effect" {
  command = plan

  variables {
    cluster = {
      version = "1.34"
      node_groups = {
        general = { instance_types = ["m7g.large"], min_size = 1, max_size = 2, taints = { push = { effect = "Never" } } }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "one_zone_of_nodes" {
  command = plan

  variables {
    network = { network_id = "n", security_group_id = "g", private_subnet_ids = { "eu-central-1a" = "subnet-a" } }
  }

  expect_failures = [var.network]
}
