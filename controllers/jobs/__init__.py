"""Controllers of work that ends: Jobs, CronJobs, and what clears away after both."""
