"""Priority and fairness: which requests run now, which wait, which are refused (upstream's APF)."""
