"""Compact schemas of built-in and custom types, and what is driven by them: decoding, merging."""
