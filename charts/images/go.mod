module windlass/charts/images

go 1.26.0
