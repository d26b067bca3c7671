# METADATA
# title: Only images that we know, and exactly those
package windlass.workload.image

import data.limits.images
import data.windlass.lib.pods
import data.windlass.lib.violation

# METADATA
# title: image-not-allowed
# description: An entry is compared with its slash, so registry.example.com does not allow registry.example.com.evil.net.
deny contains violation.because(
	"image-not-allowed", entry.subject,
	sprintf("its image %v comes from none of %v", [image(entry), images.repositories]),
	"push the image to one of them, or have the repository added to policies/limits/images.json",
) if {
	some entry in pods.containers
	not allowed(image(entry))
}

# METADATA
# title: image-not-pinned
deny contains violation.because(
	"image-not-pinned", entry.subject,
	sprintf("its image %v is named by a tag, which may mean something else tomorrow", [image(entry)]),
	"write repository@sha256:… with the digest that was tested and signed",
) if {
	some entry in pods.containers
	not regex.match(`@sha256:[0-9a-f]{64}$`, image(entry))
}

image(entry) := object.get(entry.container, "image", "")

allowed(name) if {
	some repository in images.repositories
	startswith(name, concat("", [trim_suffix(repository, "/"), "/"]))
}
