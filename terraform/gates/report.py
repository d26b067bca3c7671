"""What people see of a gate: lines, the job summary, an alert."""

import json
import os
import urllib.request

# Seconds for the alert's receiver to answer; a slow one must not hold a blocked change open.
ALERT_SECONDS = 5


class Blocked(Exception):
    """The change may not go on. `findings` are dicts of rule, subject, why, instead."""

    def __init__(self, findings):
        super().__init__(f"{len(findings)} findings")
        self.findings = findings


class Broken(Exception):
    """The gate could not look: a tool is missing, its output is unreadable, or it checked nothing."""


def finding(rule, subject, why, instead):
    return {"rule": rule, "subject": subject, "why": why, "instead": instead}


def passed(options, looked_at):
    print(f"gate {options.gate}: passed ({looked_at})")


def block(options, blocked):
    lines = [f"### Blocked by gate `{options.gate}`: {options.root.name}", ""]
    for each in blocked.findings:
        print(f"BLOCKED [{each['rule']}] {each['subject']}: {each['why']}. Instead: {each['instead']}")
        lines += [f"- **{each['rule']}** `{each['subject']}`: {each['why']}.", f"  Instead: {each['instead']}"]
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    alert(options, blocked.findings)


def alert(options, findings):
    """Tells the receiver at WINDLASS_ALERT_WEBHOOK. A blocked change stays blocked whether anybody hears it or not."""
    address = os.environ.get("WINDLASS_ALERT_WEBHOOK")
    if not address:
        return
    body = json.dumps({"gate": options.gate, "root": options.root.name, "author": options.author, "findings": findings})
    request = urllib.request.Request(address, body.encode(), {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=ALERT_SECONDS).close()
    except OSError as error:
        print(f"the alert did not arrive: {error}")
