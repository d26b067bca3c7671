# METADATA
# title: Regions follow each other
package windlass.rollout.order

import data.limits.waves
import data.windlass.lib.time_of
import data.windlass.lib.violation

# METADATA
# title: region-without-wave
deny contains violation.because(
	"region-without-wave", object.get(input, ["rollout", "region"], "rollout"),
	"the region is in no wave, so nobody can say what must be finished before it",
	"add it to policies/limits/waves.json",
) if {
	not placed
}

# METADATA
# title: earlier-region-unfinished
deny contains violation.because(
	"earlier-region-unfinished", region,
	sprintf("it is in an earlier wave and does not run %s in good health", [version]),
	"finish or abort the rollout there first",
) if {
	some region in earlier
	not finished(region)
}

# METADATA
# title: bake-too-short
deny contains violation.because(
	"bake-too-short", region,
	sprintf("it has run %s for less than %d seconds", [version, waves.bake_seconds]),
	"wait: errors that need an hour to show need an hour",
) if {
	some region in earlier
	finished(region)
	not baked(region)
}

version := object.get(input, ["rollout", "version"], "a version that is not named")

wave := number if {
	some number, regions in waves.order
	input.rollout.region in regions
}

# OPA finds nothing in `not f(rule)` where the rule is undefined, so what may be undefined is asked by a rule of its own.
placed if is_number(wave)

earlier contains region if {
	some number, regions in waves.order
	number < wave
	some region in regions
}

finished(region) if {
	input.regions[region].version == input.rollout.version
	input.regions[region].healthy == true
}

baked(region) if time_of.seconds_since(input.regions[region].since) >= waves.bake_seconds
