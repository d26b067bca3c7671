# The same for every region: change it here and let each region plan it, one after the other.
kubernetes_version = "1.34"
ci = {
  issuer   = "https://token.actions.githubusercontent.com"
  audience = "windlass"
  subjects = {
    plan  = "repo:example/platform:pull_request"
    apply = "repo:example/platform:environment:production"
  }
}
