# cluster on alicloud: what is planned, and what each variable refuses. Nothing here reaches a cloud.

mock_provider "alicloud" {}

variables {
  account_id = "1234567890123456"
  name       = "windlass-test"
  region     = "cn-hangzhou"
  tags       = { owner = "platform" }
  network = {
    network_id         = "network-1"
    security_group_id  = "group-1"
    private_subnet_ids = { "cn-hangzhou-h" = "subnet-a", "cn-hangzhou-i" = "subnet-b" }
  }
  audit_sink = {
    archive  = "windlass-test-audit"
    key_id   = "key-1"
    flow_log = "windlass-audit/flow"
  }
  administrators = { platform = "300000000000000001" }
  cluster = {
    version = "1.34"
    node_groups = {
      general = { instance_types = ["ecs.g8y.xlarge"], min_size = 2, max_size = 6 }
    }
  }
}

run "secure_by_default" {
  command = plan

  assert {
    condition     = !alicloud_cs_managed_kubernetes.this.slb_internet_enabled && alicloud_cs_managed_kubernetes.this.deletion_protection
    error_message = "The endpoint is private and deletion is protected: not so."
  }

  assert {
    condition     = alicloud_cs_managed_kubernetes.this.enable_rrsa && contains(keys(alicloud_cs_kubernetes_addon.this), "ack-pod-identity-webhook")
    error_message = "Pods can have roles: not so."
  }

  assert {
    condition     = alltrue([for pool in values(alicloud_cs_kubernetes_node_pool.this) : pool.system_disk_encrypted && one(pool.instance_metadata_options).http_tokens == "required"])
    error_message = "Disks are encrypted and metadata needs a token: not so."
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
    administrators = { platform = "acs:ram::1:user/x" }
  }

  expect_failures = [var.administrators]
}

run "a_version_with_a_patch" {
  command = plan

  variables {
    cluster = {
      version = "1.34.2"
      node_groups = {
        general = { instance_types = ["ecs.g8y.xlarge"], min_size = 2, max_size = 6 }
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
        general = { instance_types = ["ecs.g8y.xlarge"], min_size = 2, max_size = 6 }
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
        general = { instance_types = ["ecs.g8y.xlarge"], min_size = 2, max_size = 6 }
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
        general = { instance_types = ["ecs.g8y.xlarge"], min_size = 4, max_size = 2 }
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
        general = { instance_types = ["ecs.g8y.xlarge"], min_size = 1, max_size = 2, disk_gib = 20 }
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
        general = { instance_types = ["ecs.g8y.xlarge"], min_size = 1, max_size = 2, taints = { push = { effect = "Never" } } }
      }
    }
  }

  expect_failures = [var.cluster]
}

run "one_zone_of_nodes" {
  command = plan

  variables {
    network = { network_id = "n", security_group_id = "g", private_subnet_ids = { "cn-hangzhou-h" = "subnet-a" } }
  }

  expect_failures = [var.network]
}
