"""All controllers as one process: `python -m controllers.main --kubeconfig FILE`.

Logs to stderr and prints nothing. With `--listen unix:/path` it accepts connections there (and
closes them) once every watch is synced and the workers run: that is being ready. An API server
that is away is waited for. SIGTERM and SIGINT end it; whatever is under way is taken up again by
the next start, as all state is in the API.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from controllers.admission_policies import PATH as ADMISSION_POLICIES
from controllers.admission_policies import AdmissionPolicyController
from controllers.certificate_authority import CertificateAuthority
from controllers.certificates import PATH as SIGNING_REQUESTS
from controllers.certificates import CertificateController, read_authority
from controllers.cluster_roles import PATH as CLUSTER_ROLES
from controllers.cluster_roles import ClusterRoleController
from controllers.feed import Feed
from controllers.namespaces import NamespaceController
from controllers.resource_quota import QUOTAS, ResourceQuotaController
from controllers.service_accounts import ACCOUNT, ROOT_CA, ServiceAccountController
from controllers.storage_protection import (
    CLAIMS,
    CLASSES,
    VOLUMES,
    StorageProtectionController,
)
from kube.access import Access, AccessError, read_access
from kube.client import ApiClient
from runtime.clock import SystemClock
from runtime.tasks import TaskCrashed, TaskScope

USER_AGENT = "ultraplane-controllers"
_SOCKET_MASK = 0o177
_log = logging.getLogger(__name__)


async def run_controllers(
    access: Access,
    listen: Path | None = None,
    authority: CertificateAuthority | None = None,
) -> None:
    """Run all controllers until SIGTERM, SIGINT or cancellation.

    Args:
        access: how to reach the API server.
        listen: a Unix socket to accept connections at when ready; an old one is replaced.
        authority: what signs certificate requests; None: nothing does.

    Raises:
        TaskCrashed: a loop failed in a way it is not made for.
        OSError: `listen` can't be had.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with (
        ApiClient(access, user_agent=USER_AGENT) as client,
        TaskScope("controllers") as scope,
    ):
        scope.spawn(_run(client, scope, listen, authority), name="start")
        await ended.wait()
        _log.info("controllers are stopping")
        await scope.stop()


async def _run(
    client: ApiClient,
    scope: TaskScope,
    listen: Path | None,
    authority: CertificateAuthority | None,
) -> None:
    namespaces = NamespaceController(client)
    accounts = ServiceAccountController(client)
    cluster_roles = ClusterRoleController(client)
    certificates = CertificateController(client, authority, SystemClock())
    policies = AdmissionPolicyController(client)
    quotas = ResourceQuotaController(client)
    storage = StorageProtectionController(client)
    feeds = [
        Feed(client, "/api/v1/namespaces", [namespaces.observe, accounts.observe_namespace]),
        Feed(
            client,
            "/api/v1/serviceaccounts",
            [accounts.observe_account],
            query={"fieldSelector": f"metadata.name={ACCOUNT}"},
        ),
        Feed(
            client,
            "/api/v1/configmaps",
            [accounts.observe_root_ca],
            query={"fieldSelector": f"metadata.name={ROOT_CA}"},
        ),
        Feed(client, CLUSTER_ROLES, [cluster_roles.observe]),
        Feed(client, SIGNING_REQUESTS, [certificates.observe]),
        Feed(client, ADMISSION_POLICIES, [policies.observe]),
        Feed(client, QUOTAS, [quotas.observe]),
        *(Feed(client, path, [storage.observe]) for path in (CLAIMS, VOLUMES, CLASSES)),
    ]
    for feed in feeds:
        feed.start(scope)
    for feed in feeds:
        await feed.synced.wait()
    namespaces.start(scope)
    accounts.start(scope)
    cluster_roles.start(scope)
    certificates.start(scope)
    policies.start(scope)
    quotas.start(scope)
    storage.start(scope)
    _log.info("controllers are ready")
    if listen is not None:
        await _accept_connections(listen)


async def _accept_connections(path: Path) -> None:
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at the start
    mask = os.umask(_SOCKET_MASK)
    try:
        server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), path)
    finally:
        os.umask(mask)
    async with server:
        await server.serve_forever()


def _socket(text: str) -> Path:
    kind, _, path = text.partition(":")
    if kind != "unix" or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not unix:/path")
    return Path(path)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="controllers.main", description="Run the controllers.")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the server")
    parser.add_argument("--listen", type=_socket, help="unix:/path to accept at when ready")
    for name in ("cert", "key"):
        flag = f"--cluster-signing-{name}-file"
        parser.add_argument(flag, type=Path, help="of the CA (PEM) that signs requests")
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the controllers; return the process's exit code."""
    options = _parse(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        access = read_access(options.kubeconfig)
        authority = read_authority(
            options.cluster_signing_cert_file, options.cluster_signing_key_file
        )
        uvloop.run(run_controllers(access, options.listen, authority))
    except (AccessError, OSError, ValueError, TaskCrashed) as error:
        _log.critical("the controllers do not run: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
