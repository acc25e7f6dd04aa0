"""The API server, but everybody may do everything: what `ultraplane.serve apiserver` is given.

Priority and fairness is about users who are not system:masters, and nobody else may list yet.
"""

from __future__ import annotations

import sys
from pathlib import Path

from apiserver.authz import Authorizer
from ultraplane.serve import serve_api


def _everybody(_authorizer: Authorizer, _user: object, _attributes: object) -> bool:
    return True


if __name__ == "__main__":
    Authorizer.allows = _everybody  # type: ignore[method-assign,assignment]
    serve_api(Path(sys.argv[1]), int(sys.argv[2]))
