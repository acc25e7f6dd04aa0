"""Who manages which fields: field sets, structured merge, and the entries of managedFields."""
