"""Everything that acts: clients of the API, and of nothing else."""
