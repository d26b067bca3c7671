"""The gates after a plan was judged: somebody else's approval, and the apply of exactly that plan."""

import getpass
import json
from datetime import datetime, timezone

from . import audit
from .policy import policy
from .report import Blocked, Broken, finding
from .tools import terraform


def approve(options):
    digest = audit.plan_digest(options)
    if not digest:
        raise Broken(f"no plan in {options.out}: run the gate plan first")
    options.approver = options.approver or getpass.getuser()
    approval = {
        "approver": options.approver,
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "destroys": sorted(options.destroy),
        "digest": digest,
    }
    (options.out / "approval.json").write_text(json.dumps(approval, indent=1) + "\n", encoding="utf-8")
    return f"{options.approver} approved plan {digest}" + (f", destroying {', '.join(approval['destroys'])}" if options.destroy else "")


def apply(options):
    """Judges once more with the approval, applies the file, and plans again: what is left to do is a defect."""
    digest = audit.plan_digest(options)
    judged = policy(options, stage="apply")
    terraform(options, "apply", "-no-color", "-lock-timeout=60s", options.out / "plan.tfplan")
    audit.record(options, "applied", [judged], digest)
    second = options.out / "second.tfplan"
    destroy = ["-destroy"] if options.destroy_all else []
    terraform(options, "plan", "-no-color", f"-out={second}", *destroy)
    left = [
        change["address"]
        for change in json.loads(terraform(options, "show", "-json", second).stdout).get("resource_changes", [])
        if change["change"]["actions"] not in (["no-op"], ["read"])
    ]
    second.unlink()
    # A plan is applied once.
    (options.out / "plan.tfplan").unlink()
    if left:
        raise Blocked([
            finding("second-plan-not-empty", address, "right after the apply, Terraform wants to change it again",
                    "find the attribute that the cloud answers otherwise, and write what the cloud answers") for address in left
        ])
    return f"applied {digest}, second plan empty, {judged}"
