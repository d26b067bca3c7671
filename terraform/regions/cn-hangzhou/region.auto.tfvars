# All that is particular to this region. Accounts and addresses here are examples.
name           = "windlass-cn"
region         = "cn-hangzhou"
account_id     = "1234567890123456"
cidr           = "10.30.0.0/16"
zones          = { "cn-hangzhou-h" = 0, "cn-hangzhou-i" = 1, "cn-hangzhou-j" = 2 }
zone           = "cn.example.com"
administrators = { platform = "300000000000000001" }
node_groups    = { general = { instance_types = ["ecs.g8y.xlarge"], min_size = 3, max_size = 9 } }
records        = { upload = { host = "upload", ttl_seconds = 60, targets = { here = { address = "203.0.113.20", weight = 100 } } } }
tags           = { owner = "platform", environment = "production" }
