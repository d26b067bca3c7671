"""How the gates run programs."""

import os
import shutil
import subprocess
from pathlib import Path

from .report import Broken

REPOSITORY = Path(__file__).resolve().parents[2]
POLICIES = REPOSITORY / "policies"


def program(name):
    """A program by its name, or by what WINDLASS_<NAME> says; OpenTofu where there is no Terraform."""
    chosen = os.environ.get(f"WINDLASS_{name.upper()}")
    for candidate in [chosen] if chosen else [name, "tofu"] if name == "terraform" else [name]:
        found = shutil.which(candidate)
        if found:
            return found
    raise Broken(f"{name} is not on PATH; docs/infrastructure.md says how each tool is had")


def run(arguments, folder, accepted=(0,)):
    """Runs to the end; what it printed is part of the error if its exit code is not accepted."""
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
    done = subprocess.run([str(each) for each in arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in accepted:
        raise Broken(f"{Path(arguments[0]).name} {arguments[1]} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def terraform(options, *arguments, accepted=(0,)):
    return run([program("terraform"), *arguments], options.root, accepted)


def initialise(options):
    """`terraform init` with the root's backend.hcl where it has one and no override takes its place."""
    backend = options.root / "backend.hcl"
    overridden = (options.root / "backend_override.tf").exists()
    terraform(options, "init", "-no-color", *([f"-backend-config={backend}"] if backend.exists() and not overridden else []))
