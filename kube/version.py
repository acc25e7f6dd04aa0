"""The answer to `/version`: which Kubernetes API this server speaks.

Clients compare `major`, `minor` and `gitVersion`, so these name the release that is followed; the
rest says what is really running.
"""

from __future__ import annotations

import platform
from typing import Final

from kube.builtin_kinds import KUBERNETES_VERSION

_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
# The project has no release process that stamps a commit or a date into what is installed.
_UNSTAMPED_DATE: Final = "1970-01-01T00:00:00Z"

VERSION_INFO: Final[dict[str, str]] = {
    "major": _MAJOR,
    "minor": _MINOR,
    "emulationMajor": _MAJOR,
    "emulationMinor": _MINOR,
    "minCompatibilityMajor": _MAJOR,
    "minCompatibilityMinor": str(int(_MINOR) - 1),
    "gitVersion": f"v{KUBERNETES_VERSION}+ultraplane",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": _UNSTAMPED_DATE,
    "goVersion": "",
    "compiler": f"python{platform.python_version()}",
    "platform": f"{platform.system().lower()}/"
    f"{_MACHINES.get(platform.machine(), platform.machine())}",
}
