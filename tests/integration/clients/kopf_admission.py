"""An operator with admission handlers: kopf serves them, and registers them by itself.

Run by `kopf run`; KOPF_TEST_CERTIFICATES names a directory with the server's key and certificate.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kopf

_TYPE = ("kopf.dev", "v1", "kopfexamples")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Serve on loopback, under the test's own authority."""
    directory = Path(os.environ["KOPF_TEST_CERTIFICATES"])
    settings.watching.server_timeout = 10
    settings.admission.managed = "kopf.dev"
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        host="127.0.0.1",
        certfile=directory / "webhook.pem",
        pkeyfile=directory / "webhook.pem",
        cafile=directory / "ca.pem",
    )


@kopf.on.validate(*_TYPE)
def refuse(spec: Any, warnings: list[str], **_: Any) -> None:
    """Refuse what lasts too long; warn of what lasts no time."""
    duration = spec.get("duration", 0)
    if duration > 100:
        raise kopf.AdmissionError(f"{duration} is too long", code=418)
    if not duration:
        warnings.append("it lasts no time")


@kopf.on.mutate(*_TYPE)
def complete(spec: Any, patch: kopf.Patch, **_: Any) -> None:
    """Complete the spec."""
    if "unit" not in spec:
        patch.spec["unit"] = "seconds"
