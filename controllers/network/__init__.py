"""What services lead to: Endpoints, EndpointSlices, and the ranges their addresses come from."""
