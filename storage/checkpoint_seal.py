"""Which key a checkpoint is sealed with, and whether it is there: told by its first chunk."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

from storage.checkpoint import FORMER_SUFFIX, Checkpoint
from storage.checkpoint_file import read_chunks, read_header
from storage.errors import CheckpointDamaged, SealBroken, SealUnavailable, UnsupportedState
from storage.seal_head import key_of
from storage.sealing import Sealer, Sealers


def is_stale(checkpoint: Checkpoint, sealer: Sealer | None) -> bool:
    """Return whether a checkpoint is sealed with another key than the next one would be."""
    if sealer is None:
        return False
    try:
        wanted = key_of(sealer.seal(b"", b""))
        return key_of(_first_chunk(checkpoint.path)) != wanted
    except SealUnavailable:
        return False
    except (CheckpointDamaged, UnsupportedState):
        return True


def check_seal(checkpoint: Checkpoint, sealers: Sealers | None) -> None:
    """Look whether a checkpoint's first chunk opens, if it is intact.

    Damage, and what a newer program wrote, is for those who use the checkpoint to find.

    Raises:
        SealBroken: its key is missing or another one, or it is in the clear and may not be.
    """
    path = checkpoint.path
    try:
        if not _is_sealed(path):
            if sealers is not None and not sealers.reads_plain_checkpoints:
                raise SealBroken(
                    "it is in the clear, and `identity` is not among the providers of everything "
                    "that is encrypted. Nothing was changed: add it as the last one, and start "
                    "again",
                    str(path),
                )
            return
        sealer = None if sealers is None else sealers.checkpoints
        with FileIO(path) as file:
            next(read_chunks(file, path, sealer), None)
    except (CheckpointDamaged, UnsupportedState):
        return


def _is_sealed(path: Path) -> bool:
    if path.suffix == FORMER_SUFFIX:
        return False
    with FileIO(path) as file:
        return read_header(file, path).sealed


def _first_chunk(path: Path) -> bytes:
    """Return what is stored of the first chunk; b"" if it is in the clear."""
    if not _is_sealed(path):
        return b""
    with FileIO(path) as file:
        return next(read_chunks(file, path, None, opened=False), b"")
