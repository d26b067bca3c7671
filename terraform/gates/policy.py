"""conftest over what a change says it does. Before it judges, it proves on the samples that every rule still bites."""

import json
from datetime import datetime, timezone

from . import audit
from .report import Blocked, Broken, finding
from .tools import POLICIES, program, run, terraform


def policy(options, stage="review"):
    file = options.out / "plan.tfplan"
    if not file.exists():
        raise Broken(f"no plan in {options.out}: run the gate plan first")
    # Shown anew: what is judged is what would be applied, whatever lies beside it in plan.json.
    plan = json.loads(terraform(options, "show", "-json", file).stdout)
    return judge(options, "terraform", document(options, plan, stage))


def document(options, plan, stage):
    """The input of the domain `terraform`. The folder of a root is named as its region."""
    approval = options.out / "approval.json"
    providers = [each.get("name") for each in plan.get("configuration", {}).get("provider_config", {}).values()]
    return {
        "plan": plan,
        "digest": audit.plan_digest(options),
        "stage": stage,
        "approval": json.loads(approval.read_text(encoding="utf-8")) if approval.exists() else None,
        "now": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "context": {
            "author": options.author,
            "cloud": next((name for name in providers if name in ("aws", "alicloud")), None),
            "region": options.root.name,
        },
    }


def judge(options, domain, value):
    proven = prove(domain)
    input_file = options.out / f"{domain}-input.json"
    input_file.write_text(json.dumps(value), encoding="utf-8")
    input_file.chmod(0o600)
    results = conftest(domain, [input_file])
    findings = [failure for result in results for failure in failures(result)]
    if findings:
        raise Blocked(findings)
    return f"{len(results)} policies, {proven} rules proven"


def prove(domain):
    """Every denied sample of the domain must be denied by the rule that it is named after; how many rules there are."""
    samples = sorted(POLICIES.glob(f"{domain}/*/samples/denied/*.json"))
    bitten = {}
    for result in conftest(domain, samples):
        bitten.setdefault(result["filename"], set()).update(failure["rule"] for failure in failures(result))
    toothless = [sample for sample in samples if sample.name.split(".")[0] not in bitten.get(str(sample), set())]
    if not samples or toothless:
        raise Broken(f"rules that no longer bite, or no samples at all: {[str(sample.relative_to(POLICIES)) for sample in toothless]}")
    return len({(sample.parents[2].name, sample.name.split(".")[0]) for sample in samples})


def conftest(domain, files):
    """Results by file and policy. A policy that was not evaluated, or a builtin's error, is no result."""
    namespaces = sorted(f"windlass.{domain}.{folder.parent.name}" for folder in POLICIES.glob(f"{domain}/*/policy.rego"))
    if not namespaces:
        raise Broken(f"no policies in {POLICIES / domain}")
    arguments = [program("conftest"), "test", "--output=json", "--no-color", "--strict", "--show-builtin-errors"]
    arguments += [f"--capabilities={POLICIES / 'capabilities.json'}", f"--data=limits:{POLICIES / 'limits'}"]
    arguments += [f"--policy={POLICIES / folder}" for folder in ("lib", domain)]
    arguments += [f"--namespace={namespace}" for namespace in namespaces]
    done = run([*arguments, *files], POLICIES, accepted=(0, 1))
    try:
        results = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Broken(f"conftest printed no JSON: {done.stdout}{done.stderr}") from None
    seen = {(result["filename"], result["namespace"]) for result in results if result.get("successes", 0) + len(result.get("failures") or []) > 0}
    missing = [(str(file), namespace) for file in files for namespace in namespaces if (str(file), namespace) not in seen]
    if missing:
        raise Broken(f"{len(missing)} evaluations did not happen, the first {missing[0]}")
    return results


def failures(result):
    for failure in result.get("failures") or []:
        metadata = failure.get("metadata") or {}
        if "rule" not in metadata:
            raise Broken(f"a failure without a rule: {failure}")
        yield finding(metadata["rule"], metadata["subject"], metadata["why"], metadata["instead"])
