# METADATA
# title: What a denial says
# description: Every rule of every policy denies in this one shape, so that each message names rule, reason and cure.
package windlass.lib.violation

because(rule, subject, why, instead) := {
	"rule": rule,
	"subject": subject,
	"why": why,
	"instead": instead,
	"msg": sprintf("[%s] %s: %s. Instead: %s", [rule, subject, why, instead]),
}
