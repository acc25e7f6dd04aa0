"""What pods use beside their node: volumes that are bound, made and attached, and devices."""
