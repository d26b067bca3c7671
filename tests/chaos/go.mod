module windlass/tests/chaos

go 1.26.0

require windlass/tests/cluster v0.0.0

require windlass/charts/images v0.0.0 // indirect

replace windlass/tests/cluster => ../cluster

replace windlass/charts/images => ../../charts/images
