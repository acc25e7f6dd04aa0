"""Each fault of a pod's volumes is reported where and as upstream reports it."""

from __future__ import annotations

from typing import Any

import pytest
from pod_fixtures import faults, make_pod

V = "spec.volumes[0]"
CERTIFICATE = f"{V}.projected.sources[0].podCertificate"


def _certificate(**more: Any) -> dict[str, Any]:
    wanted = {
        "signerName": "example.com/signer",
        "keyType": "ED25519",
        "credentialBundlePath": "creds.pem",
        **more,
    }
    return {"projected": {"sources": [{"podCertificate": wanted}]}}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (
            {"emptyDir": {}, "hostPath": {"path": "/x"}},
            [f"{V}.hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        ({"hostPath": {}}, [f"{V}.hostPath.path: Required value"]),
        (
            {"hostPath": {"path": "/a/../b"}},
            [f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        ({"secret": {}}, [f"{V}.secret.secretName: Required value"]),
        (
            {"configMap": {"name": "c", "defaultMode": 512}},
            [
                f"{V}.configMap.defaultMode: Invalid value: 512: "
                "must be a number between 0 and 0777 (octal), both inclusive"
            ],
        ),
        (
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "/p"}]}},
            [f'{V}.configMap.items[0].path: Invalid value: "/p": must be a relative path'],
        ),
        ({"persistentVolumeClaim": {}}, [f"{V}.persistentVolumeClaim.claimName: Required value"]),
        ({"gcePersistentDisk": {}}, [f"{V}.persistentDisk.pdName: Required value"]),
        (
            {"nfs": {"server": "s", "path": "x"}},
            [f'{V}.nfs.path: Invalid value: "x": must be an absolute path'],
        ),
        (
            {"iscsi": {"targetPortal": "p", "iqn": "foo"}},
            [
                f'{V}.iscsi.iqn: Invalid value: "foo": '
                "must be valid format starting with iqn, eui, or naa"
            ],
        ),
        (
            {"csi": {"driver": "d" * 64}},
            [f"{V}.csi.driver: Too long: may not be more than 63 bytes"],
        ),
        ({"ephemeral": {}}, [f"{V}.ephemeral.volumeClaimTemplate: Required value"]),
        (
            {"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {}}}},
            [
                f"{V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                f"{V}.ephemeral.volumeClaimTemplate.spec.accessModes: Required value: "
                "at least 1 access mode is required",
                f"{V}.ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
        ),
        (
            {"projected": {"sources": [{"downwardAPI": {"items": [{"path": "a"}]}}]}},
            [
                f"{V}.projected.sources[0].downwardAPI: Required value: "
                "one of fieldRef and resourceFieldRef is required"
            ],
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                        {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
                    ]
                }
            },
            [f'{V}.projected: Invalid value: "c": conflicting duplicate paths'],
        ),
        ({"image": {}}, [f"{V}.image.reference: Required value"]),
        (_certificate(maxExpirationSeconds=3600), []),
        (_certificate(maxExpirationSeconds=7862400), []),
        (
            _certificate(maxExpirationSeconds=3599),
            [
                f"{CERTIFICATE}.maxExpirationSeconds: Invalid value: 3599: "
                "if provided, maxExpirationSeconds must be >= 3600"
            ],
        ),
        (
            _certificate(maxExpirationSeconds=7862401),
            [
                f"{CERTIFICATE}.maxExpirationSeconds: Invalid value: 7862401: "
                "if provided, maxExpirationSeconds must be <= 7862400"
            ],
        ),
        (
            _certificate(keyType="DSA", credentialBundlePath="../a"),
            [
                f'{CERTIFICATE}.keyType: Unsupported value: "DSA": supported values: "ECDSAP256", '
                '"ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"',
                f'{CERTIFICATE}.credentialBundlePath: Invalid value: "../a": must not contain '
                "'..'",
            ],
        ),
        (
            {"projected": {"sources": [{"podCertificate": {"keyType": "ED25519"}}]}},
            [
                f"{CERTIFICATE}.signerName: Required value: must be a valid signer name",
                f"{CERTIFICATE}: Required value: specify at least one of credentialBundlePath, "
                "keyPath, and certificateChainPath",
            ],
        ),
        (
            _certificate(keyPath="creds.pem"),
            [f'{V}.projected: Invalid value: "creds.pem": conflicting duplicate paths'],
        ),
    ],
)
def test_volumes(volume: dict[str, Any], expected: list[str]) -> None:
    assert faults(make_pod(volumes=[{"name": "v", **volume}])) == expected


def test_two_volumes_cannot_share_a_name() -> None:
    assert faults(make_pod(volumes=[{"name": "v"}, {"name": "v"}])) == [
        'spec.volumes[1].name: Duplicate value: "v"'
    ]
