package telemetry

import "github.com/prometheus/client_golang/prometheus"

type collection struct {
	images  *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	kubelet *prometheus.CounterVec
}

// Why images that nobody uses are removed.
var collectionReasons = []string{"age", "eviction", "prune", "space"}

func newCollection() collection {
	reason := []string{"reason"}
	c := collection{
		images: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "solopod_images_collected_total", Help: "Images that were removed as nobody used them: because the disk got full (space), they got old (age), a pod would have been evicted (eviction), somebody asked for it (prune)",
		}, reason),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "solopod_images_collected_bytes_total", Help: "What became free on the disk as images were removed that nobody used, in bytes",
		}, reason),
		// Name and label are the kubelet's (pkg/kubelet/metrics/metrics.go), which counts by age and space.
		kubelet: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubelet_image_garbage_collected_total", Help: "Images that were removed as nobody used them, because the disk got full (space) or they got old (age)",
		}, reason),
	}
	for _, r := range collectionReasons {
		c.images.WithLabelValues(r)
		c.bytes.WithLabelValues(r)
	}
	for _, r := range []string{"age", "space"} {
		c.kubelet.WithLabelValues(r)
	}
	return c
}

func (c *collection) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.images, c.bytes, c.kubelet}
}

// Collected counts an image that was removed for a reason, and what became free by it, in bytes.
func (t *Telemetry) Collected(reason string, freed int64) {
	t.collection.images.WithLabelValues(reason).Inc()
	t.collection.bytes.WithLabelValues(reason).Add(float64(max(freed, 0)))
	switch reason {
	case "age":
		t.collection.kubelet.WithLabelValues("age").Inc()
	case "space", "eviction":
		t.collection.kubelet.WithLabelValues("space").Inc()
	}
}
