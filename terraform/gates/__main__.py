"""fmt → validate → test → scan → plan → policy → approve → apply → drift, one command a gate.

A gate that passes prints what it looked at; one that blocks says which rule, why, and what to write instead, in the job
summary as well, raises an alert, and ends with 1. A gate that could not look ends with 2.
"""

import argparse
import sys
from pathlib import Path

from . import applying, audit, drift, manifests, planning, policy, scan
from .report import Blocked, Broken, block, passed

GATES = {
    "fmt": (planning.fmt, "the code is formatted"),
    "validate": (planning.validate, "the configuration fits the providers' schemas"),
    "test": (planning.test, "terraform test passes, and ran something"),
    "scan": (scan.scan, "Checkov by explicit checks, each proven on a known-bad fixture"),
    "plan": (planning.plan, "plan to a file, its JSON and its digest"),
    "policy": (policy.policy, "conftest over the plan, each rule proven on its samples"),
    "approve": (applying.approve, "write down an approval of exactly this plan"),
    "apply": (applying.apply, "apply that very plan; a second plan must be empty"),
    "drift": (drift.drift, "compare the world with the state; allowlisted drift passes"),
    "manifests": (manifests.manifests, "conftest over rendered manifests (ROOT is a folder of YAML or JSON)"),
    "audit": (audit.verify, "check the audit record's chain"),
}


def main():
    parser = argparse.ArgumentParser(prog="terraform/gate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    gates = parser.add_subparsers(dest="gate", required=True)
    for name, (_, summary) in GATES.items():
        gate = gates.add_parser(name, help=summary)
        gate.add_argument("root", type=Path, help="a folder of terraform/regions, or another root")
        gate.add_argument("--out", type=Path, help="where the plan and the records go (ROOT/.gate)")
        gate.add_argument("--author", default="", help="who made the change")
        gate.add_argument("--approver", default="", help="who approves it")
        gate.add_argument("--destroy", action="append", default=[], metavar="ADDRESS", help="a stateful resource that may go")
        gate.add_argument("--destroy-all", action="store_true", help="plan to destroy everything")
        gate.add_argument("--domain", default="workload", help="domain of policies for `manifests`")
    options = parser.parse_args()
    options.root = options.root.resolve()
    options.out = (options.out or options.root / ".gate").resolve()
    options.out.mkdir(parents=True, exist_ok=True)

    try:
        looked_at = GATES[options.gate][0](options)
    except Blocked as blocked:
        block(options, blocked)
        audit.record(options, "blocked", [finding["rule"] for finding in blocked.findings])
        sys.exit(1)
    except Broken as broken:
        print(f"gate {options.gate} could not look, so nothing passes: {broken}", file=sys.stderr)
        audit.record(options, "broken", [str(broken).splitlines()[0]])
        sys.exit(2)
    passed(options, looked_at)
    if options.gate != "audit":
        audit.record(options, "passed", [looked_at])


main()
