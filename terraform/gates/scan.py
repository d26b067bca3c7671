"""Checkov by explicit checks. Severities are no gate without Checkov's platform: they are null, and nothing fails."""

import json
import re
import shutil

from .report import Blocked, Broken, finding
from .tools import REPOSITORY, program, run

GATES = REPOSITORY / "terraform" / "gates"
# A skip is a debt: few enough that each is known by heart, and none without its reason.
MOST_SKIPS = 10
SKIP = re.compile(r"#\s*checkov:skip=([A-Z0-9_]+)(?::(.*))?")


def scan(options):
    checks = json.loads((GATES / "checks.json").read_text(encoding="utf-8"))
    wanted = sorted(check["id"] for check in checks["checks"])
    instead = {check["id"]: check["instead"] for check in checks["checks"]}
    skips = count_skips(options.root)

    # Proof first: each check must fail on the fixture that is known to be bad.
    bad = {result["check_id"] for result in checkov(GATES / "known-bad", wanted, options.out / "known-bad")[0]}
    toothless = [check for check in wanted if check not in bad]
    if toothless:
        raise Broken(f"checks that find nothing in terraform/gates/known-bad: {toothless}")

    failed, passed = checkov(options.root, wanted, options.out / "scan")
    shutil.copy(options.out / "scan" / "results_sarif.sarif", options.out / "checkov.sarif")
    if not passed and not failed:
        raise Broken(f"Checkov looked at nothing in {options.root}")
    if failed:
        raise Blocked([
            finding(each["check_id"], f"{each['resource']} ({each['file_path']}:{each['file_line_range'][0]})",
                    each["check_name"], instead[each["check_id"]]) for each in failed
        ])
    return f"{len(wanted)} checks proven, {passed} passed, {skips} skips"


def checkov(folder, wanted, out):
    """What failed in a folder, and how much passed."""
    shutil.rmtree(out, ignore_errors=True)
    arguments = [program("checkov"), "--directory", folder, "--framework", "terraform", "--skip-download", "--quiet", "--compact"]
    arguments += ["--external-checks-dir", GATES / "checks", "--check", ",".join(wanted)]
    arguments += ["--output", "json", "--output", "sarif", "--output-file-path", out]
    run(arguments, GATES, accepted=(0, 1))
    report = json.loads((out / "results_json.json").read_text(encoding="utf-8"))
    reports = report if isinstance(report, list) else [report]
    if any(each.get("results", {}).get("parsing_errors") for each in reports):
        raise Broken("Checkov could not parse a file")
    looked = [each for each in reports if "results" in each]
    return [each for one in looked for each in one["results"]["failed_checks"]], sum(one["summary"]["passed"] for one in looked)


def count_skips(root):
    found = []
    for path in root.rglob("*.tf"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            skip = SKIP.search(line)
            if skip:
                found.append((f"{path.relative_to(root)}:{number}", (skip[2] or "").strip()))
    without = [place for place, reason in found if len(reason) < 10]
    if without:
        raise Blocked([finding("skip-without-reason", place, "a skip hides a finding and does not say why", "write #checkov:skip=ID:why it is right here") for place in without])
    if len(found) > MOST_SKIPS:
        raise Blocked([finding("too-many-skips", str(root.name), f"{len(found)} skips, {MOST_SKIPS} are allowed", "repair what is skipped")])
    return len(found)
