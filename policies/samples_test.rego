# METADATA
# title: Every sample is judged as its folder and name say
# description: |
#   `data.samples` is made by tests/policies/samples.mjs from the folders `samples`: {domain, policy, rule, input} by path;
#   `rule` is null for an allowed sample.
package samples_test

denied_by(sample) := {violation.rule |
	some violation in data.windlass[sample.domain][sample.policy].deny with input as sample.input
}

test_allowed_samples_are_allowed if {
	allowed := [sample | some sample in data.samples; sample.rule == null]
	count(allowed) > 0
	every sample in allowed {
		denied_by(sample) == set()
	}
}

test_denied_samples_are_denied_by_their_rule_alone if {
	denied := [sample | some sample in data.samples; sample.rule != null]
	count(denied) > 0
	every sample in denied {
		denied_by(sample) == {sample.rule}
	}
}
