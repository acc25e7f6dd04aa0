"""Options that several commands have, and how they become a configuration."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from ultraplane.config import Config


DISTRIBUTION: Final = "ultraplane"


def path_argument(text: str) -> Path:
    """Return the path that a word of the command line names."""
    # Empty is an unset variable in a script, and would mean the working directory.
    if not text:
        raise typer.BadParameter('must name a file or directory; the present one is "."')
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise typer.BadParameter(f"{text}: there is no such user") from error


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=path_argument,
        metavar="DIR",
        help="Where the cluster lives: journal, certificates, kubeconfig, logs. Another directory "
        "is another cluster. Default: ~/.local/share/ultraplane",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        parser=path_argument,
        metavar="FILE",
        help="Settings in YAML; see `ultraplane config`.",
    ),
]
EncryptionConfig = Annotated[
    Path | None,
    typer.Option(
        "--encryption-provider-config",
        parser=path_argument,
        metavar="FILE",
        help="What is encrypted at rest, and by which keys, as upstream's flag of this name; see "
        "docs/encryption-at-rest.md.",
    ),
]


def load(file: Path | None, data_dir: Path | None, flags: dict[str, Any]) -> Config:
    """Return the configuration of a command: its file, the environment, its flags."""
    # Loaded when it is needed: `--help` stays quick.
    from ultraplane.config_reader import load_config  # noqa: PLC0415

    return load_config(file, os.environ, {"data_dir": data_dir, **flags})


def software_version() -> str:
    """Return the version of this program."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "not installed"
