# METADATA
# title: No static keys, no rights to everything
package windlass.terraform.identity

import data.windlass.lib.plan
import data.windlass.lib.violation

text_fields := {"aws_iam_role_policy": "policy", "aws_iam_policy": "policy", "alicloud_ram_policy": "policy_document"}

trust_fields := {"aws_iam_role": "assume_role_policy", "alicloud_ram_role": "assume_role_policy_document"}

# METADATA
# title: static-key
deny contains violation.because(
	"static-key", change.address,
	"an access key works from anywhere, for ever, and lies in the state",
	"use a role: Pod Identity or RRSA for pods, OIDC for CI (module identity)",
) if {
	some type in {"aws_iam_access_key", "aws_iam_user_login_profile", "alicloud_ram_access_key", "alicloud_ram_login_profile"}
	some change in plan.remaining[type]
}

# METADATA
# title: wildcard-rights
deny contains violation.because(
	"wildcard-rights", change.address,
	"a statement allows every action of a service, or of all, on everything",
	"list the actions and the resources that are needed",
) if {
	some change in documents
	some statement in array_of(json.unmarshal(text(change)).Statement)
	statement.Effect == "Allow"
	some action in array_of(statement.Action)
	endswith(action, "*")
	not contains(trim_suffix(action, "*"), ":Get")
	some resource in array_of(statement.Resource)
	resource == "*"
}

# METADATA
# title: trust-everybody
deny contains violation.because(
	"trust-everybody", change.address,
	"the role can be assumed by anyone, or by any subject of an issuer",
	"name the principal, and compare the subject whole (StringEquals, no *)",
) if {
	some type, field in trust_fields
	some change in plan.remaining[type]
	some statement in array_of(json.unmarshal(change.change.after[field]).Statement)
	statement.Effect == "Allow"
	anyone(statement)
}

# METADATA
# title: trust-unknown
deny contains violation.because(
	"trust-unknown", change.address,
	"whom it trusts is known only after apply",
	"build the trust policy from names that are known when planning, as module identity does",
) if {
	some type, field in trust_fields
	some change in plan.remaining[type]
	not is_string(object.get(change.change.after, field, null))
}

# Changes that carry a policy text which is known when planning.
documents contains change if {
	some type in object.keys(text_fields)
	some change in plan.remaining[type]
	is_string(text(change))
}

text(change) := change.change.after[text_fields[change.type]]

anyone(statement) if statement.Principal == "*"

anyone(statement) if {
	is_object(statement.Principal)
	some principals in statement.Principal
	"*" in array_of(principals)
}

anyone(statement) if {
	some operator, keys in statement.Condition
	contains(operator, "Like")
	some key, values in keys
	endswith(key, ":sub")
	some value in array_of(values)
	contains(value, "*")
}

array_of(value) := value if is_array(value)

array_of(value) := [value] if not is_array(value)
