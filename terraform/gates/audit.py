"""The record of what the gates decided: one JSON object a line (OCSF API Activity), each with the hash of the one before."""

import fcntl
import hashlib
import json
import os
from datetime import datetime, timezone
from pathlib import Path

from .report import Blocked, finding

# OCSF 1.5: category 6 (application activity), class 6003 (API activity), activity 99 (other), type = class * 100 + activity.
CLASS, ACTIVITY = 6003, 99
FIRST = "0" * 64


def path(options):
    return Path(os.environ.get("WINDLASS_AUDIT_FILE") or options.out / "audit.jsonl")


def record(options, outcome, details, digest=None):
    """Appends a line; two gates at once wait for each other."""
    file = path(options)
    with open(file, "a+", encoding="utf-8") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.seek(0)
        written = lines.read().splitlines()
        entry = {
            "activity_id": ACTIVITY,
            "category_uid": 6,
            "class_uid": CLASS,
            "type_uid": CLASS * 100 + ACTIVITY,
            "time": int(datetime.now(timezone.utc).timestamp() * 1000),
            "severity_id": 1 if outcome == "passed" else 4,
            "status_id": 1 if outcome == "passed" else 2,
            "status": outcome,
            "actor": {"user": {"name": options.approver or options.author or "unknown"}},
            "api": {"operation": f"gate {options.gate}", "service": {"name": "terraform"}},
            "resources": [{"name": options.root.name, "type": "root"}],
            "metadata": {"version": "1.5.0", "product": {"name": "windlass gates", "vendor_name": "windlass"}},
            "unmapped": {"details": details, "plan_sha256": digest or plan_digest(options)},
        }
        entry["previous"] = json.loads(written[-1])["hash"] if written else FIRST
        entry["hash"] = hash_of(entry)
        lines.write(json.dumps(entry, sort_keys=True) + "\n")


def verify(options):
    previous, count = FIRST, 0
    for number, line in enumerate(path(options).read_text(encoding="utf-8").splitlines(), 1):
        entry = json.loads(line)
        claimed = entry.pop("hash")
        if entry["previous"] != previous or hash_of(entry) != claimed:
            raise Blocked([finding("audit-chain-broken", f"line {number}", "it was changed, or a line before it is gone",
                                   "find out who wrote the file; restore it from where it is anchored")])
        previous, count = claimed, count + 1
    return f"{count} entries in one chain"


def hash_of(entry):
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def plan_digest(options):
    plan = options.out / "plan.tfplan"
    return hashlib.sha256(plan.read_bytes()).hexdigest() if plan.exists() else None
