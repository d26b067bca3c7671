"""What the world has that the state does not know. Read from `resource_drift`: the exit code of a refresh lies both ways."""

import fnmatch
import json
from pathlib import Path

from .report import Blocked, Broken, finding
from .tools import initialise, terraform

ALLOWLIST = Path(__file__).with_name("drift-allowed.json")


def drift(options):
    initialise(options)
    file = options.out / "drift.tfplan"
    terraform(options, "plan", "-refresh-only", "-no-color", "-lock-timeout=60s", f"-out={file}")
    shown = json.loads(terraform(options, "show", "-json", file).stdout)
    file.unlink()
    if not shown.get("format_version", "").startswith("1."):
        raise Broken("the plan is in a format that is not known")
    allowed = json.loads(ALLOWLIST.read_text(encoding="utf-8"))["allowed"]
    if any(not each.get("why") for each in allowed):
        raise Broken(f"an entry of {ALLOWLIST.name} does not say why")
    found = [(change, attribute) for change in shown.get("resource_drift", []) for attribute in differing(change["change"])]
    open_ones = [(change, attribute) for change, attribute in found if not is_allowed(allowed, change, attribute)]
    if open_ones:
        raise Blocked([
            finding("drift", f"{change['address']} {attribute}", "somebody changed it beside Terraform",
                    "apply to put it back, write the change into the code, or allow it in terraform/gates/drift-allowed.json with a reason")
            for change, attribute in open_ones
        ])
    return f"{len(found)} differences, all allowed" if found else "no drift"


def differing(change):
    before, after = change.get("before"), change.get("after")
    if after is None:
        return ["(deleted)"]
    return sorted(key for key in {**(before or {}), **after} if (before or {}).get(key) != after.get(key))


def is_allowed(allowed, change, attribute):
    return any(fnmatch.fnmatch(change["address"], each["address"]) and attribute in each["attributes"] for each in allowed)
