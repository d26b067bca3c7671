# METADATA
# title: A container says what it needs and what it may take
package windlass.workload.resources

import data.windlass.lib.pods
import data.windlass.lib.violation

# METADATA
# title: limit-missing
# description: No limit is asked for on CPU, on purpose, because a limit throttles where a request already shares.
deny contains violation.because(
	"limit-missing", entry.subject,
	sprintf("%s is not set: it can starve its node, or be the first to be evicted", [concat(".", path)]),
	sprintf("set resources.%s to what was measured", [concat(".", path)]),
) if {
	some entry in pods.containers
	some path in [["limits", "memory"], ["requests", "cpu"], ["requests", "memory"]]
	object.get(entry.container, array.concat(["resources"], path), null) == null
}
