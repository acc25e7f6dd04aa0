"""Logins by others: tokens of OpenID issuers that the operator trusts."""
