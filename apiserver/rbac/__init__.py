"""Role-based access control: what roles and bindings let whom do."""
