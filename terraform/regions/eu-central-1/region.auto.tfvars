# All that is particular to this region. Accounts and addresses here are examples.
name           = "windlass-eu"
region         = "eu-central-1"
account_id     = "111122223333"
cidr           = "10.20.0.0/16"
zones          = { "eu-central-1a" = 0, "eu-central-1b" = 1, "eu-central-1c" = 2 }
zone           = "eu.example.com"
administrators = { platform = "arn:aws:iam::111122223333:role/platform" }
node_groups    = { general = { instance_types = ["m7g.large"], min_size = 3, max_size = 9 } }
records        = { upload = { host = "upload", ttl_seconds = 60, targets = { here = { address = "203.0.113.10", weight = 100 } } } }
tags           = { owner = "platform", environment = "production" }
