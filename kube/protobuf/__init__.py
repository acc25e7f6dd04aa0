"""Protobuf messages of built-in types: field numbers, reading and writing."""
