package log_test

test_what_may_be_secret_is_masked if {
	event := {"input": {
		"plan": {
			"prior_state": {"values": {}},
			"variables": {"password": {"value": "x"}},
			"resource_changes": [{"change": {
				"before": null,
				"after": {"password": "x"},
				"after_sensitive": {"password": true},
			}}],
		},
		"manifests": [{"kind": "ConfigMap", "data": {}}, {"kind": "Secret", "data": {}, "stringData": {}}],
	}}
	data.system.log.mask == {
		"/input/plan/prior_state",
		"/input/plan/variables",
		"/input/plan/resource_changes/0/change/after",
		"/input/manifests/1/data",
		"/input/manifests/1/stringData",
	} with input as event
}

test_what_is_not_secret_stays if {
	event := {"input": {"plan": {"resource_changes": [{"change": {"after": {"a": "b"}, "after_sensitive": {"a": false}}}]}}}
	data.system.log.mask == set() with input as event
}
