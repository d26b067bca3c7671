# METADATA
# title: Resources are where their data may be
package windlass.terraform.placement

import data.limits.regions
import data.windlass.lib.plan
import data.windlass.lib.violation

# METADATA
# title: region-not-allowed
deny contains violation.because(
	"region-not-allowed", input.context.region,
	sprintf("it is not among the regions of %s that may hold data: %v", [input.context.cloud, sort([name | some name, _ in allowed])]),
	"choose one of them, or have the region added to policies/limits/regions.json with its jurisdiction",
) if {
	not allowed[input.context.region]
}

# METADATA
# title: resource-elsewhere
deny contains violation.because(
	"resource-elsewhere", change.address,
	sprintf("it would be made in %s, and this root is %s", [region, input.context.region]),
	"leave `region` out; another region has a root of its own",
) if {
	some change in plan.changes
	region := change.change.after.region
	is_string(region)
	region != input.context.region
}

# METADATA
# title: provider-elsewhere
deny contains violation.because(
	"provider-elsewhere", name,
	"the provider's region is another than the root's, or it is not written where it can be read",
	"write provider \"…\" { region = local.region } with the root's region",
) if {
	some name, provider in input.plan.configuration.provider_config
	provider.name in {"aws", "alicloud"}
	not right_region(provider)
}

allowed := object.get(regions, input.context.cloud, {})

right_region(provider) if provider.expressions.region.constant_value == input.context.region

right_region(provider) if {
	some reference in provider.expressions.region.references
	input.plan.variables[trim_prefix(reference, "var.")].value == input.context.region
}
