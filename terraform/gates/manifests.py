"""conftest over what a release renders. Until there are charts, committed samples of their manifests stand in."""

import json

from .policy import judge
from .report import Broken
from .tools import program, run


def manifests(options):
    files = sorted(path for path in options.root.rglob("*") if path.suffix in (".yaml", ".yml", ".json") and ".gate" not in path.parts)
    if not files:
        raise Broken(f"no manifests in {options.root}")
    parsed = json.loads(run([program("conftest"), "parse", "--combine", *files], options.root).stdout)
    found = []
    for each in parsed:
        contents = each["contents"]
        found += [item for item in (contents if isinstance(contents, list) else [contents]) if item]
    return judge(options, options.domain, {"manifests": found})
