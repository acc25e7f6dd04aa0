"""`ultraplane console`: where the web console is, with a token that opens it.

The token is behind the #: a browser sends that part of an address to nobody, and the page takes it
out of the address before anything else.
"""

from __future__ import annotations

from urllib.parse import quote

from ultraplane.config import Config
from ultraplane.errors import UserError
from ultraplane.parts import server_url
from ultraplane.pki import locate_pki
from ultraplane.run_state import read_state, state_path


def console_address(config: Config) -> str:
    """Return the address of the console of the cluster in the data directory, for its admin.

    Raises:
        UserError: there is no such cluster, or its console is switched off.
    """
    pki = locate_pki(config.data_dir / "pki")
    if not pki.admin_token.is_file():
        raise UserError(f"there is no cluster in {config.data_dir}; start one: ultraplane up")
    if not config.server.console:
        raise UserError("the console is switched off: server.console is false")
    state = read_state(state_path(config.data_dir))
    server = server_url(config, state.port if state is not None else config.server.port)
    return f"{server}/console#token={quote(pki.admin_token.read_text(), safe='')}"
