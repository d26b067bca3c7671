# METADATA
# title: A region moves only when the way back is open
# description: |
#   The input is `{move: {source, target, phase, …}}`; phases are those of RegionMigration.
package windlass.region.move

import data.limits.moves as limits
import data.limits.regions
import data.windlass.lib.violation

phases := {"copy", "cutover", "drain", "complete"}

# METADATA
# title: move-unreadable
deny contains violation.because(
	"move-unreadable", "input",
	"source, target or phase is missing or unknown, so nothing was checked",
	sprintf("pass move.source and move.target as cloud/region, and move.phase as one of %v", [phases]),
) if {
	not readable
}

# METADATA
# title: leaves-jurisdiction
deny contains violation.because(
	"leaves-jurisdiction", input.move.target,
	"the target lies in another jurisdiction than the source, or in none that is known",
	"choose a target of the same jurisdiction (policies/limits/regions.json)",
) if {
	not same_jurisdiction
}

# METADATA
# title: move-in-progress
deny contains violation.because(
	"move-in-progress", input.move.source,
	sprintf("source or target takes part in another move, or it is not known: %v", [object.get(input, ["move", "active"], "unknown")]),
	"finish or roll back that one first",
) if {
	not alone
}

# METADATA
# title: conflicts-open
deny contains violation.because(
	"conflicts-open", input.move.source,
	"both sides hold different records of the same things, or nobody has compared them",
	"resolve every entry of status.conflicts; an empty list opens the cutover",
) if {
	input.move.phase != "copy"
	object.get(input, ["move", "conflicts"], null) != 0
}

# METADATA
# title: lag-too-high
deny contains violation.because(
	"lag-too-high", input.move.target,
	sprintf("the target is more than %d seconds behind, or it is not known how far", [limits.most_lag_seconds]),
	"wait for the copy to catch up",
) if {
	input.move.phase == "cutover"
	not caught_up
}

# METADATA
# title: way-back-unproven
deny contains violation.because(
	"way-back-unproven", input.move.source,
	"nobody has proven that work can go back to the source",
	"let the migration run its probe of the way back (status.wayBack)",
) if {
	input.move.phase == "cutover"
	object.get(input, ["move", "way_back_proven"], false) != true
}

# METADATA
# title: ttl-not-waited
deny contains violation.because(
	"ttl-not-waited", input.move.source,
	"resolvers may still send clients to the source: its effective TTL has not passed since the weights changed",
	"wait for effective_ttl_seconds of the module dns, twice",
) if {
	input.move.phase in {"drain", "complete"}
	not waited
}

readable if {
	input.move.phase in phases
	input.move.source != input.move.target
}

same_jurisdiction if jurisdiction(input.move.source) == jurisdiction(input.move.target)

jurisdiction(place) := regions[split(place, "/")[0]][split(place, "/")[1]].jurisdiction

alone if count(input.move.active) == 0

caught_up if input.move.lag_seconds <= limits.most_lag_seconds

# Twice: a resolver may have asked just before the change, and a client keeps the answer as long again.
waited if input.move.seconds_since_shift >= 2 * input.move.effective_ttl_seconds
