bucket       = "windlass-eu-state-111122223333"
key          = "regions/eu-central-1/terraform.tfstate"
region       = "eu-central-1"
encrypt      = true
use_lockfile = true
