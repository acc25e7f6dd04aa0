"""How many pods may go at once, and how many there should be: budgets and autoscalers."""
