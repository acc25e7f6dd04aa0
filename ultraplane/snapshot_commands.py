"""`ultraplane snapshot …`: the command line of backups. What they do is imported when they run."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from ultraplane.options import (
    ConfigFile,
    DataDir,
    EncryptionConfig,
    load,
    path_argument,
    software_version,
)

if TYPE_CHECKING:
    from storage.snapshot_file import Contents
    from storage.snapshot_manifest import Manifest

_NICENESS: Final = 10
_KEYS: Final = "storage.encryption_provider_config"
_BUMP: Final = 1_000_000_000

app = typer.Typer(
    help="Back a cluster up, and bring it back.\n\n"
    "    ultraplane snapshot save backup.snap\n\n"
    "    ultraplane snapshot verify backup.snap\n\n"
    "    ultraplane snapshot restore backup.snap --data-dir /srv/new\n\n"
    "The drill, step by step, is in docs/disaster-recovery.md.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
SnapshotFile = Annotated[
    Path, typer.Argument(parser=path_argument, metavar="FILE", help="The snapshot.")
]
Output = Annotated[
    Literal["table", "json", "yaml"],
    typer.Option("--output", "-o", help="For people or programs."),
]


@app.command()
def save(
    file: SnapshotFile,
    data_dir: DataDir = None,
    with_pki: Annotated[
        bool,
        typer.Option(
            "--with-pki",
            help="Put the certificate authority's key, the service account key and the admin's "
            "token in. Who has the file can then do anything in the cluster, for as long as those "
            "keys are used. Without them a restored cluster makes new ones: every kubeconfig and "
            "token from before is refused, unless DIR/pki was kept by other means.",
        ),
    ] = False,
    config: ConfigFile = None,
    encryption_provider_config: EncryptionConfig = None,
) -> None:
    """Write all objects of a cluster into FILE, while it runs or when it is stopped.

    Everything that was acknowledged before the command began is in it. Each partition is copied at
    one revision of its own. The copy is read back before FILE gets its name; one that is there
    already is replaced then, and not touched before. FILE holds the cluster's Secrets, readable
    by you only: keep it as you keep those. Where the cluster is encrypted at rest, so is FILE; its
    keys are never in it. Room for about twice the cluster's memory is needed beside it meanwhile,
    or, of one that is encrypted, in memory.

    Not in it: your settings file, certificates of your own, and DIR/pki (see --with-pki).

    Examples:

        ultraplane snapshot save /backup/$(date +%F).snap

        ultraplane snapshot save --data-dir /srv/ultraplane --with-pki /safe/cluster.snap
    """
    from runtime.clock import SystemClock
    from ultraplane.snapshot_save import save_snapshot
    from ultraplane.snapshot_work import Bars

    loaded = load(config, data_dir, {_KEYS: encryption_provider_config})
    # Whoever serves goes first.
    os.nice(_NICENESS)
    with Bars() as steps:
        saved = save_snapshot(
            loaded,
            file,
            with_pki=with_pki,
            version=software_version(),
            steps=steps,
            clock=SystemClock(),
        )
    state = "running" if saved.was_running else "stopped"
    typer.echo(
        f"{saved.path}: {saved.manifest.count} objects of the {state} cluster in "
        f"{loaded.data_dir}, {saved.size_bytes} bytes, hash {saved.digest}"
    )
    if not with_pki:
        typer.echo(f"Not in it: {loaded.data_dir / 'pki'}. Keep a copy of that, safely.", err=True)


@app.command()
def restore(
    file: SnapshotFile,
    data_dir: DataDir = None,
    revision_bump: Annotated[
        int,
        typer.Option(
            "--revision-bump",
            metavar="N",
            min=0,
            help="How far the new revisions begin behind the snapshot's. More than was written "
            "between the snapshot and the disaster, or clients that saw that keep what is gone.",
        ),
    ] = _BUMP,
    config: ConfigFile = None,
    encryption_provider_config: EncryptionConfig = None,
) -> None:
    """Make a cluster's directory from FILE. Then start it: `ultraplane up --data-dir DIR`.

    DIR must be new or empty. All of FILE is checked first; DIR appears when it is complete.

    Objects are as they were, with their resourceVersions. Whoever watches or pages from before is
    answered 410 Gone and lists again, as informers do by themselves. Stop all API servers and
    controllers before, and start them after: none may go on with what it remembers.

    Examples:

        ultraplane snapshot restore /backup/2026-11-26.snap --data-dir /srv/ultraplane

        ultraplane snapshot restore cluster.snap --data-dir ./try --config ultraplane.yaml
    """
    from ultraplane.snapshot_restore import restore_snapshot
    from ultraplane.snapshot_work import Bars

    loaded = load(config, data_dir, {_KEYS: encryption_provider_config})
    with Bars() as steps:
        manifest = restore_snapshot(loaded, file, bump=revision_bump, steps=steps)
    directory = shlex.quote(str(loaded.data_dir))
    typer.echo(f"{manifest.count} objects restored. Start: ultraplane up --data-dir {directory}")
    if not manifest.has_pki:
        typer.echo(
            "The snapshot has no keys: `up` makes new ones, and kubeconfigs and tokens from before "
            f"are refused. To keep those, copy the old pki to {loaded.data_dir / 'pki'} first.",
            err=True,
        )


@app.command()
def verify(
    file: SnapshotFile,
    config: ConfigFile = None,
    encryption_provider_config: EncryptionConfig = None,
) -> None:
    """Check every byte of FILE, then read every object in it. Exit code 1 if it can't be trusted.

    It needs no cluster, and room for what the cluster takes in memory, beside FILE or in /tmp; for
    one that is encrypted, its keys, and the room in memory.

    Example: ultraplane snapshot verify /backup/2026-11-26.snap
    """
    from ultraplane.snapshot_restore import verify_snapshot
    from ultraplane.snapshot_work import Bars

    loaded = load(config, None, {_KEYS: encryption_provider_config})
    with Bars() as steps:
        contents, manifest = verify_snapshot(file, loaded, steps)
    typer.echo(f"{file}: intact, {manifest.count} objects, hash {contents.digest}")


@app.command()
def status(file: SnapshotFile, output: Output = "table") -> None:
    """Show what FILE says it holds. It is quick, and checks that only: see `verify`.

    Examples:

        ultraplane snapshot status backup.snap

        ultraplane snapshot status backup.snap -o json | jq .totalKey
    """
    from ultraplane.snapshot_restore import read_status

    told = _as_told(*read_status(file))
    if output == "json":
        typer.echo(json.dumps(told, indent=2))
    elif output == "yaml":
        import yaml

        typer.echo(yaml.safe_dump(told, sort_keys=False), nl=False)
    else:
        _show(told)


def _as_told(contents: Contents, manifest: Manifest) -> dict[str, Any]:
    """Return a status, with the names that `etcdutl snapshot status` has for what it has."""
    return {
        "hash": contents.digest,
        "revision": max(partition.revision for partition in manifest.partitions),
        "totalKey": manifest.count,
        "totalSize": contents.size_bytes,
        "version": manifest.software,
        "created": manifest.created,
        "cluster": manifest.cluster,
        "hasPki": manifest.has_pki,
        "partitions": [
            {
                "name": partition.name,
                "revision": partition.revision,
                "totalKey": partition.count,
                "stateHash": partition.state_hash,
                "objects": dict(partition.objects),
            }
            for partition in manifest.partitions
        ],
    }


def _show(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ultraplane.state_display import bytes_text

    console = Console(soft_wrap=True)
    for name, value in (
        ("hash", told["hash"]),
        ("created", f"{told['created']} by {told['version']}"),
        ("cluster", told["cluster"]),
        ("keys (pki)", "included" if told["hasPki"] else "not included"),
        ("size", bytes_text(told["totalSize"])),
        ("objects", str(told["totalKey"])),
    ):
        console.print(f"{name:<11} {value}", highlight=False, markup=False)
    table = Table("\npartition", "\nrevision", "\nobjects", box=None, pad_edge=False)
    for one in told["partitions"]:
        table.add_row(one["name"], str(one["revision"]), str(one["totalKey"]))
    console.print(table)
