"""Checks of file paths inside volumes and containers."""

from __future__ import annotations

from typing import Final

from kube.field import FieldError, invalid

FILE_MODE_FAULT: Final = "must be a number between 0 and 0777 (octal), both inclusive"


def check_no_backsteps(value: str, path: str, errors: list[FieldError]) -> None:
    """Refuse a `..` element; one error is enough, however many there are."""
    if ".." in value and ".." in value.split("/"):
        errors.append(invalid(path, value, "must not contain '..'"))


def check_descending_path(value: str, path: str, errors: list[FieldError]) -> None:
    """Check that a path is relative and never leaves its directory."""
    if value.startswith("/"):
        errors.append(invalid(path, value, "must be a relative path"))
    check_no_backsteps(value, path, errors)


def check_local_path(value: str, path: str, errors: list[FieldError]) -> None:
    """Check a descending path that also does not start with the reserved `..`."""
    check_descending_path(value, path, errors)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(invalid(path, value, "must not start with '..'"))


def check_mode(mode: int | None, path: str, errors: list[FieldError]) -> None:
    """Check the permission bits of a file; None: not given."""
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(invalid(path, mode, FILE_MODE_FAULT))
