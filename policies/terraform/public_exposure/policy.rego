# METADATA
# title: Nothing is open to the Internet by accident
# description: Buckets, security groups, API endpoints and databases. What is known only after apply counts as open.
package windlass.terraform.public_exposure

import data.limits.network as limits
import data.windlass.lib.plan
import data.windlass.lib.violation

bucket_types := {
	"aws_s3_bucket": "aws_s3_bucket_public_access_block",
	"alicloud_oss_bucket": "alicloud_oss_bucket_public_access_block",
}

acl_types := {"aws_s3_bucket", "aws_s3_bucket_acl", "alicloud_oss_bucket", "alicloud_oss_bucket_acl"}

policy_types := {"aws_s3_bucket_policy", "alicloud_oss_bucket_policy"}

# METADATA
# title: bucket-acl-public
deny contains violation.because(
	"bucket-acl-public", change.address,
	sprintf("its ACL %q lets people read or write who have no account", [change.change.after.acl]),
	"leave the ACL private and give readers a role (module identity), or serve files through windlass-upload",
) if {
	some type in acl_types
	some change in plan.remaining[type]
	is_string(change.change.after.acl)
	startswith(change.change.after.acl, "public")
}

# METADATA
# title: bucket-not-closed
deny contains violation.because(
	"bucket-not-closed", change.address,
	"no public access block with every setting true belongs to it, so one policy or ACL can open it",
	sprintf("add %s beside it with every setting true, or use the module storage", [block_type]),
) if {
	some type, block_type in bucket_types
	some change in plan.remaining[type]
	every block in plan.partners(change, block_type) {
		not closes(block)
	}
}

# METADATA
# title: bucket-policy-public
deny contains violation.because(
	"bucket-policy-public", change.address,
	"a statement allows everybody, without a condition",
	"name the principals in the statement, or add a condition that only they meet",
) if {
	some type in policy_types
	some change in plan.remaining[type]
	some statement in json.unmarshal(change.change.after.policy).Statement
	statement.Effect == "Allow"
	everybody(statement.Principal)
	object.get(statement, "Condition", {}) == {}
}

# METADATA
# title: bucket-policy-unknown
deny contains violation.because(
	"bucket-policy-unknown", change.address,
	"its policy is known only after apply, so nobody can say that it is not public",
	"build the policy from names that are known when planning, not from attributes of resources that are created",
) if {
	some type in policy_types
	some change in plan.remaining[type]
	not is_string(object.get(change.change.after, "policy", null))
}

# METADATA
# title: open-ingress
deny contains violation.because(
	"open-ingress", entry.address,
	sprintf("it lets %s in on port %v", [entry.cidr, entry.port]),
	sprintf("name the ranges of your load balancers or VPN; the Internet may reach only ports %v", [limits.public_ports]),
) if {
	some entry in ingress
	plan.wide(entry.cidr)
	not entry.port in limits.public_ports
}

# METADATA
# title: ingress-unknown
deny contains violation.because(
	"ingress-unknown", change.address,
	"where it lets traffic in from is known only after apply, so nobody can say that it is not everywhere",
	"write the range as a value that is known when planning, or name a security group",
) if {
	some type, fields in {
		"aws_vpc_security_group_ingress_rule": ["cidr_ipv4", "cidr_ipv6"],
		"alicloud_security_group_rule": ["cidr_ip", "ipv6_cidr_ip"],
	}
	some change in plan.remaining[type]
	some field in fields
	object.get(change.change.after_unknown, field, false) == true
}

# METADATA
# title: public-endpoint
deny contains violation.because(
	"public-endpoint", change.address,
	"the Kubernetes API can be reached from the Internet, or it is not known that it cannot",
	"set endpoint_public_access = false; to open it set public_access_cidrs to the ranges of your VPN",
) if {
	some change in plan.remaining.aws_eks_cluster
	not plan.is(change, ["vpc_config", 0, "endpoint_public_access"], false)
	not listed_ranges(change)
}

deny contains violation.because(
	"public-endpoint", change.address,
	"the Kubernetes API can be reached from the Internet, or it is not known that it cannot",
	"set endpoint_public_access = false (slb_internet_enabled = false): the provider's default is true",
) if {
	some change in plan.remaining.alicloud_cs_managed_kubernetes
	not plan.is(change, ["slb_internet_enabled"], false)
}

# METADATA
# title: database-public
deny contains violation.because(
	"database-public", change.address,
	"it is not proven that the database has no public address",
	"set publicly_accessible = false",
) if {
	some change in plan.remaining.aws_db_instance
	not plan.is(change, ["publicly_accessible"], false)
}

# METADATA
# title: database-open
deny contains violation.because(
	"database-open", change.address,
	"its access list has an entry that covers a large part of the Internet",
	"list the private ranges of the network in security_ips",
) if {
	some type in {"alicloud_db_instance", "alicloud_kvstore_instance"}
	some change in plan.remaining[type]
	some cidr in change.change.after.security_ips
	plan.wide(cidr)
}

closes(block) if {
	every setting in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] {
		plan.is(block, [setting], true)
	}
}

closes(block) if plan.is(block, ["block_public_access"], true)

everybody(principal) if principal == "*"

everybody(principal) if "*" in principal

everybody(principal) if principal.AWS == "*"

everybody(principal) if "*" in principal.AWS

listed_ranges(change) if {
	ranges := change.change.after.vpc_config[0].public_access_cidrs
	count(ranges) > 0
	every cidr in ranges {
		not plan.wide(cidr)
	}
}

ingress contains {"address": change.address, "cidr": cidr, "port": port(change.change.after)} if {
	some change in plan.remaining.aws_vpc_security_group_ingress_rule
	some field in ["cidr_ipv4", "cidr_ipv6"]
	cidr := change.change.after[field]
	is_string(cidr)
}

ingress contains {"address": change.address, "cidr": cidr, "port": port(rule)} if {
	some type in {"aws_security_group", "aws_default_security_group"}
	some change in plan.remaining[type]
	some rule in change.change.after.ingress
	some field in ["cidr_blocks", "ipv6_cidr_blocks"]
	some cidr in rule[field]
}

ingress contains {"address": change.address, "cidr": cidr, "port": single(change.change.after.port_range)} if {
	some change in plan.remaining.alicloud_security_group_rule
	change.change.after.type == "ingress"
	object.get(change.change.after, "policy", "accept") == "accept"
	some field in ["cidr_ip", "ipv6_cidr_ip"]
	cidr := change.change.after[field]
	is_string(cidr)
}

# The one port that a rule opens; anything else is not one of the public ports.
port(rule) := rule.from_port if rule.from_port == rule.to_port

port(rule) := "several" if not rule.from_port == rule.to_port

single(range) := to_number(ends[0]) if {
	ends := split(range, "/")
	ends[0] == ends[1]
	ends[0] != "-1"
}

single(range) := "several" if {
	ends := split(range, "/")
	ends[0] != ends[1]
}

single("-1/-1") := "several"
