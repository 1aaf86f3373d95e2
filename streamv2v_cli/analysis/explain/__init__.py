"""Where a point attends in the feature bank, and what goes on there over time."""
