"""What nodes may do: what concerns them and the pods on them, and nothing else."""
