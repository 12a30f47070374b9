package manifests

import (
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
)

// Contents are the objects of one file.
type Contents struct {
	Pods       []*v1.Pod
	ConfigMaps []*v1.ConfigMap
	Secrets    []*v1.Secret
	Claims     []*v1.PersistentVolumeClaim
	Jobs       []*batchv1.Job
	CronJobs   []*batchv1.CronJob

	// Version is that of the VersionAnnotation; zero where no object has one.
	Version uint64 `json:"version,omitempty"`
	// Declared names the objects as the file has them, as deployment/namespace/name, also where others stand for them.
	Declared []string `json:"declared,omitempty"`
}
