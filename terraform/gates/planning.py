"""The gates before a plan is judged."""

import json
import re

from . import audit
from .report import Blocked, Broken, finding
from .tools import initialise, program, run, terraform


def fmt(options):
    done = terraform(options, "fmt", "-check", "-recursive", "-list=true", accepted=(0, 3))
    files = done.stdout.split()
    if files:
        raise Blocked([finding("not-formatted", file, "it is not as `terraform fmt` writes it", "run terraform fmt -recursive") for file in files])
    count = len(list(options.root.rglob("*.tf")))
    if not count:
        raise Broken(f"no .tf file in {options.root}")
    return f"{count} files"


def validate(options):
    initialise(options)
    result = json.loads(terraform(options, "validate", "-json", accepted=(0, 1)).stdout)
    if not result["valid"]:
        raise Blocked([
            finding("invalid", f"{each.get('range', {}).get('filename', options.root.name)}:{each.get('range', {}).get('start', {}).get('line', 0)}",
                    each["summary"], each.get("detail") or "repair the line")
            for each in result["diagnostics"]
        ])
    return "valid"


def test(options):
    """For modules: their tests, of which there must be some."""
    run([program("terraform"), "init", "-no-color", "-backend=false"], options.root)
    done = terraform(options, "test", "-no-color", accepted=(0, 1))
    counted = re.search(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", done.stdout)
    if not counted or int(counted[1]) + int(counted[2]) == 0:
        raise Broken(f"terraform test ran nothing\n{done.stdout}{done.stderr}")
    if done.returncode or int(counted[2]) or int(counted[3] or 0):
        failures = re.findall(r"run \"(\w+)\"\.\.\. fail", done.stdout) or ["terraform test"]
        raise Blocked([finding("test-failed", name, "see the lines above", "repair the module or the test") for name in failures])
    return f"{counted[1]} runs"


def plan(options):
    initialise(options)
    file = options.out / "plan.tfplan"
    for stale in (file, options.out / "plan.json", options.out / "approval.json"):
        stale.unlink(missing_ok=True)
    destroy = ["-destroy"] if options.destroy_all else []
    planned = terraform(options, "plan", "-no-color", "-lock-timeout=60s", f"-out={file}", *destroy, accepted=(0, 1))
    if planned.returncode:
        raise Blocked(refusals(options, planned.stderr))
    # It may hold what is secret, as plans do.
    file.chmod(0o600)
    shown = terraform(options, "show", "-json", file).stdout
    written = options.out / "plan.json"
    written.write_text(shown, encoding="utf-8")
    written.chmod(0o600)
    changes = json.loads(shown).get("resource_changes", [])
    acted = [change for change in changes if change["change"]["actions"] not in (["no-op"], ["read"])]
    return f"{len(acted)} changes, plan {audit.plan_digest(options)}"


def refusals(options, printed):
    """What Terraform refused to plan: a module's validation says itself what to write instead."""
    found = []
    for text in printed.split("Error: ")[1:]:
        summary, *lines = text.strip().splitlines()
        place = re.search(r"on (\S+ line \d+)", text)
        # The last paragraph but Terraform's own remark is the message.
        paragraphs = [" ".join(part.split()) for part in "\n".join(lines).split("\n\n")]
        words = [part for part in paragraphs if part and not part.startswith(("on ", "This was checked by", "│", "├"))]
        found.append(finding("plan-refused", place[1] if place else options.root.name, summary, words[-1] if words else "read Terraform's words"))
    if not found:
        raise Broken(f"terraform plan failed without an error\n{printed}")
    return found
