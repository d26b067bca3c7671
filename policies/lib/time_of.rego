# METADATA
# title: Time, given and never taken
# description: The time of a decision is in its input (`now`, RFC 3339), so that a record can be replayed.
package windlass.lib.time_of

now := time.parse_rfc3339_ns(input.now)

# Seconds since a moment; undefined if either is missing, so a rule that needs it must deny without it.
seconds_since(moment) := (now - time.parse_rfc3339_ns(moment)) / 1000000000
