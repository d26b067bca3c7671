"""The gates between a change to infrastructure and the cloud. Standard library only; see docs/infrastructure.md."""
