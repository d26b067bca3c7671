# METADATA
# title: A rollout goes on while users do not notice it
# description: A missing sample is never success (promise P8).
package windlass.rollout.budget

import data.limits.budgets
import data.windlass.lib.time_of
import data.windlass.lib.violation

# METADATA
# title: sample-missing
deny contains violation.because(
	"sample-missing", name,
	sprintf("there are fewer than %d samples of it, or no value, and no metrics are not good metrics", [budgets.least_samples]),
	"wait for traffic, or send some (windlass put --every); check that the pod is scraped",
) if {
	some name, _ in budgets.metrics
	not sampled(name)
}

# METADATA
# title: sample-stale
deny contains violation.because(
	"sample-stale", name,
	sprintf("its last sample is older than %d seconds, or lies in the future", [budgets.freshness_seconds]),
	"check the metrics' source; the rollout goes on by itself when samples come again",
) if {
	some name, _ in budgets.metrics
	not fresh(name)
}

# METADATA
# title: objective-missed
deny contains violation.because(
	"objective-missed", name,
	sprintf("it is %v, and at most %v is agreed", [input.metrics[name].value, most]),
	"abort the rollout (kubectl windlass rollout abort) and look at the new version's errors",
) if {
	some name, most in budgets.metrics
	input.metrics[name].value > most
}

# METADATA
# title: budget-spent
deny contains violation.because(
	"budget-spent", "error budget",
	sprintf("less than %v %% of this period's error budget is left, or it is not known", [budgets.least_remaining_percent]),
	"wait until the budget recovers; a repair may pass with rollout.kind = \"repair\"",
) if {
	not enough_left
}

sampled(name) if {
	input.metrics[name].samples >= budgets.least_samples
	is_number(input.metrics[name].value)
}

fresh(name) if {
	age := time_of.seconds_since(input.metrics[name].at)
	age >= 0
	age <= budgets.freshness_seconds
}

enough_left if input.budget.remaining_percent >= budgets.least_remaining_percent

# What repairs the errors may be rolled out while they use the budget up.
enough_left if {
	is_number(input.budget.remaining_percent)
	input.rollout.kind == "repair"
}
