"""The command line. Each command imports what it needs when it runs: `--help` stays quick."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ultraplane import flags
from ultraplane.errors import UserError
from ultraplane.options import ConfigFile, DataDir, EncryptionConfig, path_argument
from ultraplane.options import load as _load
from ultraplane.options import software_version as _version
from ultraplane.snapshot_commands import app as snapshot_app

app = typer.Typer(
    name="ultraplane",
    help="A Kubernetes-compatible control plane for ultra-scale clusters.\n\n"
    "Start one on this machine, and use it from another terminal:\n\n"
    "    ultraplane up\n\n"
    "    kubectl --kubeconfig ~/.local/share/ultraplane/kubeconfig get namespaces",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # locals may hold keys and tokens
)
app.add_typer(snapshot_app, name="snapshot")


Port = Annotated[
    int | None,
    typer.Option("--port", metavar="PORT", help="API server's port, 0 for a free one. [6443]"),
]


def _journal_settings(address: str | None) -> dict[str, Any]:
    return {"journal.address": address, "journal.external": True if address else None}


@app.command()
def up(  # noqa: PLR0913, PLR0917 -- one for each flag; those in flags.SETTINGS are read by name
    context: typer.Context,
    data_dir: DataDir = None,
    port: Port = None,
    kubeconfig: flags.WrittenKubeconfig = None,
    workers: flags.Workers = None,
    controllers: flags.ControllerList = None,
    nodes: flags.Nodes = None,
    without: flags.Without = None,
    config: ConfigFile = None,
    journal: flags.JournalAddress = None,
    join: flags.Join = None,
    token_auth_file: flags.TokenAuthFile = None,
    authentication_config: flags.AuthenticationConfig = None,
    authorization_config: flags.AuthorizationConfig = None,
    authorization_mode: flags.AuthorizationMode = None,
    authorization_webhook_config_file: flags.AuthorizationWebhookConfig = None,
    oidc_issuer_url: flags.OidcIssuerUrl = None,
    oidc_client_id: flags.OidcClientId = None,
    oidc_username_claim: flags.OidcUsernameClaim = None,
    oidc_username_prefix: flags.OidcUsernamePrefix = None,
    oidc_groups_claim: flags.OidcGroupsClaim = None,
    oidc_groups_prefix: flags.OidcGroupsPrefix = None,
    oidc_ca_file: flags.OidcCaFile = None,
    audit_policy_file: flags.AuditPolicyFile = None,
    audit_log_path: flags.AuditLogPath = None,
    enable_admission_plugins: flags.EnablePlugins = None,
    disable_admission_plugins: flags.DisablePlugins = None,
    admission_control_config_file: flags.AdmissionControl = None,
    encryption_provider_config: EncryptionConfig = None,
) -> None:
    """Start a cluster here and keep it running until Ctrl-C.

    Starts the journal, the API server, the controllers, the scheduler and a small fleet of
    simulated nodes, waits until they are ready, restarts what dies.
    Everything is stored in one directory and is there again after the next `up`.

    Examples:

        ultraplane up --workers 4 --nodes 1000

        ultraplane up --config ultraplane.yaml --kubeconfig ./kubeconfig

        ultraplane up --port 7443 --data-dir /b --join /a --journal unix:/a/journal.sock
    """
    given = {setting: context.params[flag] for flag, setting in flags.SETTINGS.items()}
    given |= {
        "supervisor.without": None if without is None else without.split(","),
        **_journal_settings(journal),
    }
    loaded = _load(config, data_dir, given)
    from ultraplane.up import run_up

    run_up(loaded, kubeconfig.absolute() if kubeconfig else None, _version())


@app.command()
def journal(data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Run only the journal, which gives all writes their order and keeps them.

    It listens on a Unix socket in the data directory, or on `journal.address`.

    Example: ultraplane journal --data-dir /srv/ultraplane
    """
    loaded = _load(config, data_dir, {})
    from journal.main import main as run_journal
    from ultraplane.files import private_directory
    from ultraplane.parts import journal_arguments

    private_directory(loaded.data_dir)
    private_directory(loaded.memory_path)
    raise typer.Exit(run_journal(journal_arguments(loaded)))


@app.command()
def apiserver(
    data_dir: DataDir = None,
    port: Port = None,
    config: ConfigFile = None,
    encryption_provider_config: EncryptionConfig = None,
) -> None:
    """Run only the API server; a journal must be running (`ultraplane journal`).

    Certificates and kubeconfig are made in the data directory as by `up`. It is one process, which
    keeps the replica itself: `server.workers` and processes for partitions are for `up`.

    Example: ultraplane apiserver --data-dir /srv/ultraplane --port 6443
    """
    alone = {"server.workers": 1, "storage.process_per_partition": False}
    flags = {
        "server.port": port,
        "storage.encryption_provider_config": encryption_provider_config,
    }
    loaded = _load(config, data_dir, {**flags, **alone})
    from runtime.clock import SystemClock
    from ultraplane.files import DirectoryLock, private_directory
    from ultraplane.serve import serve_api
    from ultraplane.server_settings import settings_path
    from ultraplane.up import prepare

    private_directory(loaded.data_dir)
    # Before anything is written: a running cluster's kubeconfig must go on leading to it.
    with DirectoryLock(loaded.data_dir):
        cluster = prepare(loaded, None, SystemClock())
        typer.echo(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
        serve_api(settings_path(loaded))


@app.command()
def controllers(
    data_dir: DataDir = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--kubeconfig",
            parser=path_argument,
            metavar="FILE",
            help="How to reach the API server, and as whom. Default: the controllers' own in DIR, "
            "written by `up` and `apiserver`.",
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Run only the controllers: what acts on objects, such as ending deleted namespaces.

    They are clients of the API server and nothing else; while it is away they wait for it. Run
    them once a cluster: `up` does.

    Examples:

        ultraplane controllers --data-dir /srv/ultraplane

        ultraplane controllers --kubeconfig ./kubeconfig
    """
    loaded = _load(config, data_dir, {})
    from controllers.main import main as run_controllers
    from ultraplane.files import private_directory
    from ultraplane.parts import controllers_arguments, part_kubeconfig

    private_directory(loaded.data_dir)
    private_directory(loaded.memory_path)
    path = kubeconfig or part_kubeconfig(loaded, "controllers")
    if not path.is_file():
        raise UserError(
            f"{path} is not there: start an API server in {loaded.data_dir} first (ultraplane "
            "apiserver), or name a kubeconfig: --kubeconfig FILE"
        )
    raise typer.Exit(run_controllers(controllers_arguments(loaded, path.absolute())))


@app.command()
def status(
    data_dir: DataDir = None,
    config: ConfigFile = None,
    output: Annotated[
        Literal["table", "json"], typer.Option("--output", "-o", help="For people or programs.")
    ] = "table",
) -> None:
    """Show what runs, where, and how far each partition is. Exit code 1 when not ready.

    Columns of partitions: revision is that of the last write, memory the size of the memory map,
    lag the number of journal records not applied yet.

    Examples:

        ultraplane status

        ultraplane status -o json | jq .partitions

        until ultraplane status >/dev/null; do sleep 1; done
    """
    loaded = _load(config, data_dir, {})
    from rich.console import Console

    from ultraplane.status import as_json, read_status, show

    now = read_status(loaded)
    if output == "json":
        typer.echo(as_json(now))
    else:
        show(now, Console())
    raise typer.Exit(0 if now.ready else 1)


@app.command()
def top(
    data_dir: DataDir = None,
    kubeconfig: flags.WatchedKubeconfig = None,
    config: ConfigFile = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    output: Annotated[
        Literal["table", "json"], typer.Option("--output", "-o", help="For people or programs.")
    ] = "table",
) -> None:
    """Show the cluster as it is this second: nodes, pods, requests, latencies, lag, the scheduler.

    Keys: q leaves, s sorts verbs. Where no terminal is, a line is written each second. Latencies
    are of the last ten seconds. The web console shows the same: `ultraplane console`.

    Examples:

        ultraplane top

        ultraplane top --kubeconfig ~/.kube/config

        ultraplane top --once -o json | jq .nodes
    """
    loaded = _load(config, data_dir, {})
    from rich.console import Console

    from ultraplane.top import Wish, choose_kubeconfig, run_top

    chosen = choose_kubeconfig(loaded, kubeconfig)
    run_top(Wish(chosen, once, output == "json"), Console())


@app.command()
def console(data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Print the address of the web console, with the admin's token in it: open it in a browser.

    The token stands behind the #, which browsers send to no server; the page takes it out of the
    address at once. Whoever sees the printed address is admin: do not pass it on.

    Example: ultraplane console
    """
    loaded = _load(config, data_dir, {})
    from ultraplane.console_address import console_address

    typer.echo(console_address(loaded))


@app.command()
def conformance(  # noqa: PLR0913, PLR0917 -- one for each flag
    kubeconfig: flags.TestedKubeconfig = None,
    server: flags.TestedServer = "",
    token: flags.TestedToken = "",
    ca_file: flags.TestedCaFile = None,
    focus: flags.Focus = None,
    skip: flags.Skip = None,
    list_only: flags.ListOnly = False,
    parallel: flags.Parallel = 8,
    report: flags.Report = None,
    local: flags.StandIns = True,
    webhook_host: flags.WebhookHost = "",
    e2e_binary: flags.E2eBinary = None,
    only_binary: flags.OnlyBinary = False,
) -> None:
    """Test an API server by the steps of upstream's conformance specs.

    Cases have the names of upstream's specs and do, over HTTP, what these do. They work against
    any API server, so they can be proven on another. Without --kubeconfig or --server a cluster is
    started for the run, and removed afterwards; a cluster that is tested gets, and loses, many
    objects.

    Exit code 1 means that something failed. Columns of the table: "stand-in" passed by a case that
    does what upstream leaves to a container, such as serving a webhook.

    Examples:

        ultraplane conformance

        ultraplane conformance --focus sig-auth --skip '\\[Slow\\]' --report ./report

        ultraplane conformance --kubeconfig ~/.kube/other --list

        ultraplane conformance --e2e-binary ./e2e.test --only-binary --report ./report
    """
    from rich.console import Console

    from ultraplane import conformance_command as command

    wish = command.Wish(
        kubeconfig,
        server.rstrip("/"),
        token,
        ca_file,
        tuple(focus or ()),
        tuple(skip or ()),
        parallel,
        report,
        webhook_host,
        local,
        e2e_binary,
        only_binary,
    )
    if list_only:
        for case in command.choose(wish):
            typer.echo(case.name)
        return
    raise typer.Exit(0 if command.run(wish, Console()) else 1)


@app.command()
def scaletest(
    scale: flags.Scale = 0.01,
    report: flags.ScaleReport = None,
    profile: flags.ScaleProfile = None,
    objects: flags.ScaleObjects = None,
    kubeconfig: flags.ScaleKubeconfig = None,
    config: ConfigFile = None,
) -> None:
    """Replay the published experiments with 100,000-node clusters on this machine, and measure.

    Adds objects, launches nodes, runs one training Job over all of them, ten side by side, then
    fine-tuning and inference together, and takes everything down. Nodes are simulated. Without
    --kubeconfig a cluster is started for the run, and removed afterwards; it gets the settings in
    --config.

    The table at the end compares with what was published. Exit code 1 means that a bar was missed.
    Ctrl-C ends a run early; what was measured is reported.

    Examples:

        ultraplane scaletest --report ./report

        ultraplane scaletest --scale 0.1 --report ./report

        TMPDIR=/large/disk ultraplane scaletest --scale 1 --report ./report
    """
    from rich.console import Console

    from ultraplane import scaletest_command as command

    wish = command.Wish(scale, objects, kubeconfig, config, report, profile)
    raise typer.Exit(0 if command.run(wish, Console(), _version()) else 1)


@app.command("config")
def show_config(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a file with every key, to start from.")
    ] = False,
    effective: Annotated[
        bool, typer.Option("--effective", help="Print what is in force with this file.")
    ] = False,
) -> None:
    """Explain every setting: its type, its default, what it does.

    Later ones win: defaults, the file, environment variables, flags. The variable of a key is its
    name in capitals with __ between section and key: ULTRAPLANE_SERVER__PORT=7443.

    Examples:

        ultraplane config

        ultraplane config --example > ultraplane.yaml

        ultraplane config --config ultraplane.yaml --effective
    """
    from ultraplane.config_docs import effective_file, example_file, key_docs

    if example:
        typer.echo(example_file(), nl=False)
        return
    loaded = _load(config, data_dir, {})
    if effective:
        typer.echo(effective_file(loaded), nl=False)
        return
    for key in key_docs():
        typer.secho(key.name, bold=True, nl=False)
        typer.echo(f"  ({key.type}; default: {key.default})")
        typer.echo(f"    {key.doc}\n")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(_version())


def main() -> None:
    """Run the command line; what the user can put right ends with a message and code 1."""
    run(app)


def run(command: Callable[[], Any]) -> None:
    """Call `command`, turning what the user can put right into a message on stderr."""
    try:
        command()
    except UserError as error:
        text = str(error)
    except OSError as error:
        # A file that cannot be read or written, a full disk: the name says more than a traceback.
        if error.filename is None:
            raise
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    else:
        return
    typer.secho("ultraplane: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(text, err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
