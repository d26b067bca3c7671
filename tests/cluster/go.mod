module windlass/tests/cluster

go 1.26.0

require windlass/charts/images v0.0.0

replace windlass/charts/images => ../../charts/images
