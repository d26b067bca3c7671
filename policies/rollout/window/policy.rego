# METADATA
# title: A rollout happens when somebody is there to see it
package windlass.rollout.window

import data.limits.windows
import data.windlass.lib.time_of
import data.windlass.lib.violation

# METADATA
# title: time-unknown
deny contains violation.because(
	"time-unknown", "input",
	"the time of the decision is not in the input",
	"pass now in RFC 3339; a decision that takes the time itself cannot be replayed",
) if {
	not timed
}

# METADATA
# title: outside-window
deny contains violation.because(
	"outside-window", region,
	"it is outside of the region's hours for rollouts",
	"wait, or pass with rollout.kind = \"repair\"; hours are in policies/limits/windows.json",
) if {
	not repair
	not within
}

# METADATA
# title: frozen
deny contains violation.because(
	"frozen", region,
	sprintf("nothing is rolled out from %s to %s: %s", [freeze.from, freeze.to, freeze.why]),
	"wait until the freeze ends; only a repair passes",
) if {
	not repair
	some freeze in windows.freezes
	time_of.now >= time.parse_rfc3339_ns(freeze.from)
	time_of.now < time.parse_rfc3339_ns(freeze.to)
}

region := object.get(input, ["rollout", "region"], "rollout")

timed if is_number(time_of.now)

repair if input.rollout.kind == "repair"

within if {
	some window in object.get(windows.regions, region, windows.default)
	time.weekday(time_of.now) in window.days
	clock := time.clock(time_of.now)
	clock[0] >= window.from_hour
	clock[0] < window.to_hour
}
