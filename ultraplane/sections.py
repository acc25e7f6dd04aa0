"""What all sections of the configuration are made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("must not hold a null character")
    try:
        expanded = path.expanduser()
    except RuntimeError as error:
        raise ValueError("names a user whose home is not known") from error
    # Not resolve(): a data directory may well be a symbolic link that will point elsewhere.
    return Path(os.path.abspath(expanded))


def _not_empty(value: Any) -> Any:
    # An unset variable in a script, which would make the working directory the one that is meant.
    if value == "":
        raise ValueError('must name a file or directory; the present one is "."')
    return value


Location = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(_absolute)]


class Section(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
