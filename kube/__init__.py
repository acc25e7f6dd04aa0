"""The vocabulary shared by server and clients: kinds, schemas, selectors, patches, Status."""
