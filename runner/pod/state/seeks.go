package state

// Seeks says whether the pod is about to claim what it needs of the machine, or waits for room on it. A pod that waits for something else
// keeps no room from others.
func (s *State) Seeks() bool {
	wanted := s.DeletedAt.IsZero() && s.Failed == nil && s.StopBy.IsZero() && !s.Orphan // also before the manifests have spoken
	if !wanted || s.SetUp || s.GrantedFor != "" || len(s.Images) > 0 {
		return false
	}
	return s.NoRoom != "" || s.Retry.Failures == 0
}
