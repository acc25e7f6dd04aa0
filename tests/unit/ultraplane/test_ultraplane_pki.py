"""Certificates and tokens are made once, kept, renewed; the kubeconfig holds them."""

from __future__ import annotations

import base64
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import ultraplane.pki
from kube.access import AccessError, read_access
from runtime.clock import SimulatedClock
from ultraplane.kubeconfig import NotOurs, write_kubeconfig, write_part_kubeconfig
from ultraplane.pki import CA_DAYS, LEAF_DAYS, RENEW_DAYS, Pki, PkiError, PkiPlan, ensure_pki

PLAN = PkiPlan(bind="127.0.0.1", service_cidr="10.96.0.0/12")
_DAY_S = 86_400


def _after_days(days: float) -> SimulatedClock:
    clock = SimulatedClock()
    clock.set_wall(clock.now_s() + days * _DAY_S)
    return clock


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _names(path: Path) -> set[str]:
    extension = _certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def _make(directory: Path, plan: PkiPlan = PLAN, days: float = 0) -> Pki:
    return ensure_pki(directory, plan, _after_days(days))


def test_every_file_is_private(tmp_path: Path) -> None:
    _make(tmp_path / "pki")
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 25


def test_second_start_keeps_everything(tmp_path: Path) -> None:
    _make(tmp_path)
    before = _contents(tmp_path)
    _make(tmp_path, days=1)
    assert _contents(tmp_path) == before


def test_serving_certificate_has_the_names_clients_use(tmp_path: Path) -> None:
    plan = replace(PLAN, bind="192.0.2.7", extra_names=("api.example", "192.0.2.8"))
    names = _names(_make(tmp_path, plan).server_certificate)
    assert names >= {
        "localhost",
        "127.0.0.1",
        "::1",
        "10.96.0.1",
        "kubernetes.default.svc.cluster.local",
        "192.0.2.7",
        "192.0.2.8",
        "api.example",
    }


def test_wildcard_address_is_no_name(tmp_path: Path) -> None:
    pki = _make(tmp_path, replace(PLAN, bind="0.0.0.0"))
    assert "0.0.0.0" not in _names(pki.server_certificate)


def test_changed_names_renew_only_the_serving_certificate(tmp_path: Path) -> None:
    _make(tmp_path)
    before = _contents(tmp_path)
    _make(tmp_path, replace(PLAN, extra_names=("new.example",)))
    after = _contents(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {
        "apiserver.crt",
        "apiserver.key",
    }


def test_leaves_are_renewed_before_they_expire_and_the_ca_is_kept(tmp_path: Path) -> None:
    _make(tmp_path)
    before = _contents(tmp_path)
    _make(tmp_path, days=LEAF_DAYS - RENEW_DAYS - 1)
    assert _contents(tmp_path) == before
    pki = _make(tmp_path, days=LEAF_DAYS - RENEW_DAYS)
    after = _contents(tmp_path)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["admin.crt"] != before["admin.crt"]
    assert after["apiserver.crt"] != before["apiserver.crt"]
    _certificate(pki.admin_certificate).verify_directly_issued_by(_certificate(pki.ca_certificate))


def test_renewed_ca_signs_all_leaves_anew(tmp_path: Path) -> None:
    _make(tmp_path)
    pki = _make(tmp_path, days=CA_DAYS - RENEW_DAYS)
    authority = _certificate(pki.ca_certificate)
    for path in (pki.admin_certificate, pki.server_certificate):
        _certificate(path).verify_directly_issued_by(authority)


def test_key_that_does_not_fit_its_certificate_is_replaced(tmp_path: Path) -> None:
    pki = _make(tmp_path)
    pki.admin_key.write_bytes(pki.server_key.read_bytes())
    before = pki.admin_certificate.read_bytes()
    _make(tmp_path)
    assert pki.admin_certificate.read_bytes() != before


def test_damaged_certificate_is_replaced(tmp_path: Path) -> None:
    pki = _make(tmp_path)
    pki.server_certificate.write_bytes(b"-----BEGIN")
    _make(tmp_path)
    assert _certificate(pki.server_certificate)


def test_admin_is_of_the_group_that_may_do_everything(tmp_path: Path) -> None:
    subject = _certificate(_make(tmp_path).admin_certificate).subject
    assert subject.rfc4514_string() == "CN=kubernetes-admin,O=system:masters"


def test_controllers_are_of_no_group_and_who_was_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _make(tmp_path).controllers_certificate
    assert _certificate(path).subject.rfc4514_string() == "CN=system:kube-controller-manager"
    made = ultraplane.pki._Leaf

    def of_masters(name: str, _group: str | None, *more: Any) -> Any:
        return made(name, "system:masters", *more)

    with monkeypatch.context() as patch:
        patch.setattr(ultraplane.pki, "_Leaf", of_masters)
        _make(tmp_path)
    assert "system:masters" in _certificate(path).subject.rfc4514_string()
    _make(tmp_path)
    assert "system:masters" not in _certificate(path).subject.rfc4514_string()


def test_configured_cas_and_tokens_are_added_to_ours(tmp_path: Path) -> None:
    other = _make(tmp_path / "other")
    tokens = tmp_path / "tokens"
    tokens.write_text("secret,jane,1\n")
    plan = replace(PLAN, client_ca_file=other.ca_certificate, token_file=tokens)
    pki = _make(tmp_path / "pki", plan)
    assert len(x509.load_pem_x509_certificates(pki.client_ca_bundle.read_bytes())) == 2
    controllers, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
    fleet = "ultraplane-fleet"
    assert pki.token_bundle.read_text().splitlines() == [
        f'{pki.admin_token.read_text()},kubernetes-admin,kubernetes-admin,"system:masters"',
        f"{pki.controllers_token.read_text()},{controllers},{controllers}",
        f"{pki.scheduler_token.read_text()},{scheduler},{scheduler}",
        f'{pki.fleet_token.read_text()},{fleet},{fleet},"system:masters"',
        "secret,jane,1",
    ]
    assert stat.S_IMODE(pki.controllers_token.stat().st_mode) == 0o600


def test_configured_ca_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nonsense")
    with pytest.raises(PkiError, match=r"auth\.client_ca_file"):
        _make(tmp_path / "pki", replace(PLAN, client_ca_file=tmp_path / "ca"))
    with pytest.raises(PkiError, match="cannot be read"):
        _make(tmp_path / "pki", replace(PLAN, token_file=tmp_path / "absent"))


def test_kubeconfig_holds_certificate_and_token(tmp_path: Path) -> None:
    pki = _make(tmp_path / "pki")
    path = tmp_path / "new" / "kubeconfig"
    write_kubeconfig(path, server="https://127.0.0.1:1", ca_file=pki.ca_certificate, pki=pki)
    content = yaml.safe_load(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    users = {user["name"]: user["user"] for user in content["users"]}
    key = users["ultraplane-admin"]["client-key-data"]
    assert base64.b64decode(key) == pki.admin_key.read_bytes()
    assert users["ultraplane-token"]["token"] == pki.admin_token.read_text()
    contexts = {context["name"]: context["context"]["user"] for context in content["contexts"]}
    assert contexts[content["current-context"]] == "ultraplane-admin"


@pytest.mark.parametrize("near", [None, "unix:/d/apiserver.sock"])
def test_a_part_goes_by_the_socket_where_there_is_one(tmp_path: Path, near: str | None) -> None:
    pki = _make(tmp_path / "pki")
    path, server = tmp_path / "part", "https://127.0.0.1:1"
    write_part_kubeconfig(
        path, "scheduler", server=server, ca_file=pki.ca_certificate, pki=pki, near=near
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    access = read_access(path)
    assert access.ca == pki.ca_certificate.read_text()
    if near is None:
        assert (access.server, access.socket, access.token) == (server, "", "")
        assert access.tls is not None
    else:
        token = pki.scheduler_token.read_text()
        assert (access.socket, access.tls, access.token) == ("/d/apiserver.sock", None, token)


def test_a_socket_without_a_path_is_refused(tmp_path: Path) -> None:
    pki = _make(tmp_path / "pki")
    path, ca_file = tmp_path / "part", pki.ca_certificate
    write_part_kubeconfig(path, "fleet", server="https://h:1", ca_file=ca_file, pki=pki, near="")
    with pytest.raises(AccessError, match="has no path"):
        read_access(path)


@pytest.mark.parametrize(
    "text",
    [
        "clusters: [{name: production}]",
        "}{",
        "hello",
        "clusters: [{name: ultraplane}, 5]",
        "{clusters: [], users: [{name: me, user: {token: precious}}]}",
        "{clusters: [{name: ultraplane}], contexts: [{name: mine}]}",
    ],
)
def test_kubeconfig_of_somebody_else_is_left_alone(tmp_path: Path, text: str) -> None:
    pki = _make(tmp_path / "pki")
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(NotOurs):
        write_kubeconfig(path, server="https://h:1", ca_file=pki.ca_certificate, pki=pki)
    assert path.read_text() == text


def test_own_kubeconfig_is_replaced(tmp_path: Path) -> None:
    pki = _make(tmp_path / "pki")
    path = tmp_path / "config"
    for port in (1, 2):
        write_kubeconfig(path, server=f"https://h:{port}", ca_file=pki.ca_certificate, pki=pki)
    assert yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] == "https://h:2"


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b", b"short", b"x" * 20 + b"\n"])
def test_a_token_that_is_of_no_use_is_made_anew(tmp_path: Path, content: bytes) -> None:
    pki = _make(tmp_path)
    pki.admin_token.write_bytes(content)
    pki = _make(tmp_path)
    assert len(pki.admin_token.read_text()) >= 32


def test_a_key_with_a_password_is_made_anew(tmp_path: Path) -> None:
    pki = _make(tmp_path)
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for path in (pki.server_key, pki.service_account_key):
        path.write_bytes(locked)
    pki = _make(tmp_path)
    assert pki.server_key.read_bytes() != locked
    assert pki.service_account_key.read_bytes() != locked


def test_a_host_name_that_no_certificate_can_hold_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rechner-ä", ""):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        assert name not in _names(_make(tmp_path).server_certificate)
