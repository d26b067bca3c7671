# METADATA
# title: Only what our pipeline signed is rolled out
# description: The caller verifies signatures with the verifier of the cluster; here it is decided whose signature counts.
package windlass.rollout.signature

import data.limits.signers
import data.windlass.lib.violation

# METADATA
# title: images-missing
deny contains violation.because(
	"images-missing", "rollout",
	"the rollout names no image, so nothing was verified",
	"pass every image of the release in rollout.images",
) if {
	count(object.get(input, ["rollout", "images"], [])) == 0
}

# METADATA
# title: unsigned
deny contains violation.because(
	"unsigned", image.ref,
	"its signature was not verified",
	"sign the digest in the pipeline; an image that was built by hand is not rolled out",
) if {
	some image in input.rollout.images
	object.get(image, ["signature", "verified"], false) != true
}

# METADATA
# title: signer-not-allowed
deny contains violation.because(
	"signer-not-allowed", image.ref,
	sprintf("it is signed by %v", [object.get(image, ["signature", "identity"], "nobody")]),
	sprintf("sign it as one of %v", [signers.identities]),
) if {
	some image in input.rollout.images
	not object.get(image, ["signature", "identity"], "nobody") in signers.identities
}
