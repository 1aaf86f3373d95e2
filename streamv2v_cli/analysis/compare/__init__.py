"""Several videos of the same moments in one."""
