"""Webhooks: what others are asked over HTTPS before an object is taken."""
