package decode

import (
	"go.yaml.in/yaml/v3"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate"
)

func (d *decoder) decodeJob(node *yaml.Node, path string) {
	job := &batchv1.Job{}
	w := d.decodeInto(node, path, job)
	if w == nil {
		return
	}
	manifests.SetJobDefaults(job)
	d.report(w, path, validate.Job(job, d.opts.node()))
	if d.unique("Job", job, node) {
		d.contents.Jobs = append(d.contents.Jobs, job)
	}
}

func (d *decoder) decodeCronJob(node *yaml.Node, path string) {
	c := &batchv1.CronJob{}
	w := d.decodeInto(node, path, c)
	if w == nil {
		return
	}
	manifests.SetCronJobDefaults(c)
	d.report(w, path, validate.CronJob(c, d.opts.node()))
	if d.unique("CronJob", c, node) {
		d.contents.CronJobs = append(d.contents.CronJobs, c)
	}
}
