package api

import (
	"context"

	"github.com/solopod/solopod/workload"
)

// Workloads answers /workloads: Jobs and CronJobs.
type Workloads struct {
	Workloads []workload.Status `json:"workloads"`
}

// Workloads lists the Jobs and CronJobs.
func (c *Client) Workloads(ctx context.Context) ([]workload.Status, error) {
	var list Workloads
	err := c.get(ctx, "/workloads", &list)
	return list.Workloads, err
}
