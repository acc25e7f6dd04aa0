"""What is left of a run: one page for people, and JSON for programs."""
