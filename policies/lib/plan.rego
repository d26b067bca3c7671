# METADATA
# title: Reading a Terraform plan
# description: |
#   The input is `{plan, digest, stage, context, approval, now}`: the plan as `terraform show -json` prints it, and what
#   the gate knows of it. A value that is known only after apply is absent from `after`, so nothing here takes it for good:
#   `is` holds for what is proven, `given` for what is at least set.
package windlass.lib.plan

# Every managed resource that the plan changes or keeps.
changes contains change if {
	some change in input.plan.resource_changes
	change.mode == "managed"
}

# What exists after the apply, by type.
remaining[type] contains change if {
	some change in changes
	type := change.type
	is_object(change.change.after)
}

# What the apply destroys, replacements included.
destroyed contains change if {
	some change in changes
	some action in change.change.actions
	action == "delete"
}

# Proven: the attribute is known and has this value.
is(change, path, value) if object.get(change.change.after, path, null) == value

# Set: the attribute has a value, though it may be known only after apply (a reference to something that is created).
given(change, path) if {
	value := object.get(change.change.after, path, null)
	not value in {null, "", false}
}

given(change, path) if object.get(change.change.after_unknown, path, false) == true

# Resources of a type that belong to another: beside it in the same module under the same name and key, or naming the same bucket.
partners(change, type) := [partner |
	some partner in object.get(remaining, type, set())
	same_place(change, partner)
]

same_place(one, other) if {
	object.get(one, "module_address", "") == object.get(other, "module_address", "")
	object.get(one, "index", null) == object.get(other, "index", null)
	one.name == other.name
}

same_place(one, other) if {
	bucket := object.get(one.change.after, "bucket", null)
	bucket != null
	bucket == object.get(other.change.after, "bucket", null)
}

# A range that covers a large part of the Internet.
wide(cidr) if to_number(split(cidr, "/")[1]) < 8

wide(cidr) if cidr == "0.0.0.0"
