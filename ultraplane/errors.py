"""What the person at the command line can put right."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the program must change first; the message says what.

    The command line prints the message alone and ends with code 1. Every other exception is our
    own mistake and keeps its traceback.
    """
