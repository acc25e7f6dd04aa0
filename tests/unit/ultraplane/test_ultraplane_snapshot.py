"""`ultraplane snapshot` of a cluster that is stopped: what it writes, teaches and refuses."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from journal.local import LocalEngine
from runtime.clock import SystemClock
from storage import snapshot_state
from storage.environment import Environment
from storage.partition_map import DEFAULT_PARTITIONS
from storage.position import Position
from storage.store import Store, StoreOptions
from storage.txn import Put
from ultraplane import snapshot_commands, snapshot_restore, snapshot_save
from ultraplane.config import Config
from ultraplane.config_reader import load_config
from ultraplane.files import DirectoryLock
from ultraplane.pki import PkiPlan, ensure_pki
from ultraplane.server_settings import encryption_copy, settings_path, write_server_settings
from ultraplane.snapshot_restore import read_status, restore_snapshot, verify_snapshot
from ultraplane.snapshot_save import Saved, save_snapshot
from ultraplane.snapshot_work import SnapshotUseless, load_keys

PODS = 20
BODY = b'{"metadata":{"resourceVersion":""}}'


class Silent:
    """Shows nothing."""

    def step(self, text: str, total: int | None) -> Callable[[int], None]:
        """Hear of no units."""
        assert text
        return lambda units: None


def config_of(data_dir: Path, **flags: Any) -> Config:
    """Return a configuration whose replica is beside the data directory."""
    memory = data_dir.parent / f"{data_dir.name}-memory"
    return load_config(None, {}, {"data_dir": data_dir, "memory_dir": memory, **flags})


def save(
    config: Config, path: Path, *, with_pki: bool = False, scratch: list[Path] | None = None
) -> Saved:
    """Save a snapshot; add where environments were opened to `scratch`."""
    with pytest.MonkeyPatch.context() as patch:
        if scratch is not None:
            patch.setattr(snapshot_state, "Environment", _noting(scratch))
        return save_snapshot(
            config, path, with_pki=with_pki, version="1.2", steps=Silent(), clock=SystemClock()
        )


def _noting(paths: list[Path]) -> Callable[..., Environment]:
    def opened(path: Path, **options: Any) -> Environment:
        paths.append(path)
        return Environment(path, **options)

    return opened


def verify(path: Path, config: Config | None = None) -> Any:
    """Verify a snapshot."""
    return verify_snapshot(path, config or config_of(path.parent / "unused"), Silent())


def restore(config: Config, path: Path, bump: int = 1000) -> None:
    """Restore a snapshot."""
    restore_snapshot(config, path, bump=bump, steps=Silent())


async def _with_store(config: Config, work: Callable[[Store], Any]) -> Any:
    engine = await LocalEngine.open(config.data_dir / "journal")
    try:
        sealers = load_keys(config.storage.encryption_provider_config, SystemClock())
        places = StoreOptions(
            config.memory_path, config.data_dir, map_bytes=64 << 20, sealers=sealers
        )
        async with Store(engine, places) as store:
            return await work(store)
    finally:
        await engine.close()


async def _fill(store: Store) -> None:
    for number in range(PODS):
        put = Put("pods", "default", f"p{number}", b"", BODY, BODY.index(b'""') + 1, 0)
        await store.commit((put,), 5)


async def _fill_one_more(store: Store) -> None:
    put = Put("pods", "default", "canary", b"", BODY, BODY.index(b'""') + 1, 0)
    await store.commit((put,), 5)


async def _seal_something(store: Store) -> None:
    put = Put("secrets", "default", "canary", b"", BODY, BODY.index(b'""') + 1, 0)
    await store.commit((put,), 5)
    await store.checkpoint()


def states(config: Config) -> dict[str, tuple[int, str]]:
    """Return the revision of each partition, and a digest of all objects without it."""

    async def look(store: Store) -> dict[str, tuple[int, str]]:
        found = {}
        for name in DEFAULT_PARTITIONS:
            partition = store._partitions[name]
            txn = partition.views.begin()
            rows = list(txn.cursor(partition.views.environment.objects))
            partition.views.end(txn)
            found[name] = (partition.revision, repr(rows))
        return found

    found: dict[str, tuple[int, str]] = asyncio.run(_with_store(config, look))
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Config:
    """A cluster with some pods, stopped."""
    config = config_of(tmp_path / "cluster")
    config.data_dir.mkdir(mode=0o700)
    config.memory_path.mkdir(mode=0o700)
    ensure_pki(config.data_dir / "pki", PkiPlan("127.0.0.1", "10.96.0.0/12"), SystemClock())
    asyncio.run(_with_store(config, _fill))
    return config


@pytest.fixture
def snapshot(cluster: Config, tmp_path: Path) -> Path:
    """A snapshot of it."""
    return save(cluster, tmp_path / "a.snap").path


def _left(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_restored_cluster_is_the_saved_one_at_later_revisions(
    cluster: Config, snapshot: Path, tmp_path: Path
) -> None:
    before = states(cluster)
    target = config_of(tmp_path / "new")
    restore(target, snapshot, bump=5000)
    after = states(target)
    for name, (revision, objects) in before.items():
        assert after[name] == (revision + 5000, objects)
    # And what was saved is as it was.
    assert states(cluster) == before


def test_a_snapshot_is_for_its_owner_only_and_leaves_nothing_beside_it(
    snapshot: Path, tmp_path: Path
) -> None:
    assert snapshot.stat().st_mode & 0o777 == 0o600
    assert _left(tmp_path) == {"cluster", "cluster-memory", "a.snap"}


def test_a_restored_directory_is_private_and_holds_what_a_cluster_has(
    snapshot: Path, tmp_path: Path
) -> None:
    target = config_of(tmp_path / "deep/er/new")
    restore(target, snapshot)
    assert target.data_dir.stat().st_mode & 0o777 == 0o700
    assert _left(target.data_dir) == {"lock", "journal", "checkpoints"}
    for path in target.data_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_keys_are_in_it_only_when_asked_for(
    cluster: Config, snapshot: Path, tmp_path: Path
) -> None:
    contents, manifest = read_status(snapshot)
    names = [entry["name"] for entry in contents.manifest["files"]]
    assert [name for name in names if not name.startswith("checkpoints/")] == []
    assert not manifest.has_pki
    saved = save(cluster, tmp_path / "keys.snap", with_pki=True)
    assert saved.manifest.has_pki
    target = config_of(tmp_path / "new")
    restore(target, saved.path)
    for name in ("ca.crt", "ca.key", "service-account.key", "admin.token"):
        restored = target.data_dir / "pki" / name
        assert restored.read_bytes() == (cluster.data_dir / "pki" / name).read_bytes()
        assert restored.stat().st_mode & 0o777 == 0o600


def test_verify_reads_every_object(snapshot: Path, tmp_path: Path) -> None:
    contents, manifest = verify(snapshot)
    assert manifest.count == PODS
    assert contents == read_status(snapshot)[0]
    assert _left(tmp_path) == {"cluster", "cluster-memory", "a.snap"}


def test_damage_is_refused_by_all_and_nothing_is_written(snapshot: Path, tmp_path: Path) -> None:
    whole = snapshot.read_bytes()
    for at in range(3, len(whole), len(whole) // 12):
        data = bytearray(whole)
        data[at] ^= 4
        snapshot.write_bytes(data)
        with pytest.raises(SnapshotUseless, match=f"{snapshot} is damaged at byte"):
            verify(snapshot)
        with pytest.raises(SnapshotUseless, match=f"{snapshot} is damaged at byte"):
            restore(config_of(tmp_path / "new"), snapshot)
        assert _left(tmp_path) == {"cluster", "cluster-memory", "a.snap"}


def test_a_directory_that_holds_something_is_never_restored_into(
    cluster: Config, snapshot: Path
) -> None:
    with pytest.raises(SnapshotUseless, match=r"is not empty.*mv .*cluster .*cluster\.old"):
        restore(cluster, snapshot)
    target = config_of(cluster.data_dir.parent / "empty")
    target.data_dir.mkdir()
    restore(target, snapshot)
    assert (target.data_dir / "journal").is_dir()


@pytest.mark.parametrize("bump", [-1, 1 << 62])
def test_a_bump_that_leads_nowhere_is_refused(snapshot: Path, tmp_path: Path, bump: int) -> None:
    with pytest.raises(SnapshotUseless, match="beyond revision"):
        restore(config_of(tmp_path / "new"), snapshot, bump)
    assert not (tmp_path / "new").exists()


def test_other_partitions_are_refused_with_the_resource(snapshot: Path, tmp_path: Path) -> None:
    target = config_of(tmp_path / "new", **{"storage.partitions": {"pods": ["configmaps"]}})
    with pytest.raises(SnapshotUseless, match=r"was in partition.*'pods': "):
        restore(target, snapshot)
    assert not (tmp_path / "new").exists()


def test_a_journal_elsewhere_is_not_restored_into(snapshot: Path, tmp_path: Path) -> None:
    flags = {"journal.address": "tcp:127.0.0.1:7000", "journal.external": True}
    with pytest.raises(SnapshotUseless, match="on the machine that runs it"):
        restore(config_of(tmp_path / "new", **flags), snapshot)


def test_a_replica_that_still_runs_there_is_not_pulled_away(snapshot: Path, tmp_path: Path) -> None:
    target = config_of(tmp_path / "new")
    running = Environment(target.memory_path / "pods", map_bytes=1 << 24)
    try:
        with pytest.raises(SnapshotUseless, match="Stop all of it first"):
            restore(target, snapshot)
    finally:
        running.close()
    assert not (tmp_path / "new").exists()


def test_the_replica_of_the_cluster_that_was_there_is_not_taken_for_the_restored(
    cluster: Config, snapshot: Path, tmp_path: Path
) -> None:
    before = states(cluster)
    cluster.data_dir.rename(tmp_path / "gone")
    # With no bump, revisions alone would not tell the old replica from the new.
    restore(cluster, snapshot, bump=0)
    assert states(cluster) == before


def test_what_a_killed_one_left_has_no_effect(cluster: Config, snapshot: Path) -> None:
    for name in (".b.snap.saving", ".new.restoring"):
        left = cluster.data_dir.parent / name
        (left / "scratch/default").mkdir(parents=True, mode=0o700)
        left.chmod(0o700)
        (left / "snapshot").write_text("half")
    saved = save(cluster, snapshot.with_name("b.snap"))
    assert verify(saved.path)[1].count == PODS
    target = config_of(cluster.data_dir.parent / "new")
    restore(target, saved.path)
    assert not any(name.startswith(".") for name in _left(cluster.data_dir.parent))


def test_two_saves_to_one_name_do_not_meet(cluster: Config, tmp_path: Path) -> None:
    work = tmp_path / ".a.snap.saving"
    work.mkdir(mode=0o700)
    with DirectoryLock(work), pytest.raises(SnapshotUseless, match="somebody else is saving"):
        save(cluster, tmp_path / "a.snap")


def test_a_place_where_nothing_can_be_made_is_told(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(SnapshotUseless, match="can't be written to"):
        restore(config_of(tmp_path / "new"), snapshot)


def test_a_journal_that_is_away_is_told(
    cluster: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_save, "_JOURNAL_S_MAX", 0.05)
    with (
        DirectoryLock(cluster.data_dir),
        pytest.raises(SnapshotUseless, match="does not say how far it is"),
    ):
        save(cluster, tmp_path / "a.snap")


def test_a_stopped_cluster_of_another_user_is_not_touched(
    cluster: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.getuid()
    monkeypatch.setattr(snapshot_save, "_uid", lambda: owner + 1)
    with pytest.raises(SnapshotUseless, match="save as that user"):
        save(cluster, tmp_path / "a.snap")


def write_keys(path: Path, *names: str, identity: bool = False) -> Path:
    """Write an EncryptionConfiguration for Secrets with keys of these names."""
    keys = [
        {"name": name, "secret": base64.b64encode(name.encode().ljust(32)).decode()}
        for name in names
    ]
    providers: list[dict[str, Any]] = [{"aesgcm": {"keys": keys}}]
    if identity:
        providers.append({"identity": {}})
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document))
    return path


KEYS = "storage.encryption_provider_config"


@pytest.mark.parametrize("was_sealed", [True, False])
def test_a_snapshot_of_an_encrypted_cluster_is_sealed_and_so_is_what_is_restored(
    cluster: Config, tmp_path: Path, *, was_sealed: bool
) -> None:
    # The cluster's own checkpoints may be of the time before, and the newest entries sealed.
    keys = write_keys(tmp_path / "keys", "one", identity=True)
    own = config_of(cluster.data_dir, **{KEYS: keys})
    asyncio.run(_with_store(own, _seal_something if was_sealed else _fill_one_more))
    before = states(own)
    scratch: list[Path] = []
    saved = save(own, tmp_path / "a.snap", scratch=scratch)
    assert all(path.is_relative_to(own.memory_path) for path in scratch), "in the clear on a disk"
    assert scratch
    with pytest.raises(SnapshotUseless, match=r"it is sealed with aesgcm key 'one'"):
        verify(saved.path)
    with pytest.raises(SnapshotUseless, match=r"it is sealed with aesgcm key 'one'"):
        restore(config_of(tmp_path / "new"), saved.path)
    other = write_keys(tmp_path / "other", "two", "one")
    target = config_of(tmp_path / "new", **{KEYS: other})
    assert verify(saved.path, target)[1].count == saved.manifest.count == PODS + 1
    restore(target, saved.path, bump=0)
    for path in target.data_dir.glob("checkpoints/*/*"):
        assert b"aesgcm:v1:two" in path.read_bytes()
        assert b"canary" not in path.read_bytes()
    after = states(target)
    assert after == before
    for memory in (own.memory_path, target.memory_path):
        assert not (memory / ".snapshot").exists()


def test_the_keys_that_a_cluster_runs_with_are_used_without_being_named(
    cluster: Config, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys", "one", identity=True)
    own = config_of(cluster.data_dir, **{KEYS: keys})
    pki = ensure_pki(own.data_dir / "pki", PkiPlan("127.0.0.1", "10.96.0.0/12"), SystemClock())
    settings_path(own).parent.mkdir(mode=0o700)
    write_server_settings(own, pki, 6443)
    with pytest.raises(SnapshotUseless, match="keys are gone from memory: name the file"):
        save(cluster, tmp_path / "a.snap")
    assert not (tmp_path / "a.snap").exists()
    encryption_copy(own).write_bytes(keys.read_bytes())
    encryption_copy(own).chmod(0o600)
    saved = save(cluster, tmp_path / "a.snap")
    assert b"aesgcm:v1:one" in saved.path.read_bytes()


def test_a_snapshot_in_the_clear_is_restored_encrypted_only_if_that_is_allowed(
    snapshot: Path, tmp_path: Path
) -> None:
    strict = config_of(tmp_path / "new", **{KEYS: write_keys(tmp_path / "strict", "one")})
    with pytest.raises(SnapshotUseless, match="in the clear, and `identity` is not among"):
        restore(strict, snapshot)
    assert not (tmp_path / "new").exists()
    keys = write_keys(tmp_path / "keys", "one", identity=True)
    restore(config_of(tmp_path / "new", **{KEYS: keys}), snapshot)
    for path in (tmp_path / "new").glob("checkpoints/*/*"):
        assert b"aesgcm:v1:one" in path.read_bytes()


def test_a_cluster_that_another_version_ran_is_left_to_that(
    cluster: Config, tmp_path: Path
) -> None:
    path = settings_path(cluster)
    path.parent.mkdir(mode=0o700)
    path.write_text('{"data_dir": "/", "a_later_setting": 1}')
    with pytest.raises(SnapshotUseless, match="another version of ultraplane"):
        save(cluster, tmp_path / "a.snap")


def test_a_full_disk_leaves_the_snapshot_before_as_it_was(
    cluster: Config, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = snapshot.read_bytes()

    class Full(snapshot_save.SnapshotWriter):
        def finish(self, manifest: dict[str, Any]) -> str:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot_save, "SnapshotWriter", Full)
    with pytest.raises(SnapshotUseless, match=r"a\.snap: No space left.*; nothing was written"):
        save(cluster, snapshot)
    assert snapshot.read_bytes() == whole
    assert _left(snapshot.parent) == {"cluster", "cluster-memory", "a.snap"}


def test_a_full_disk_leaves_nothing_of_a_restore(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Position:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot_restore, "restamp", full)
    with pytest.raises(SnapshotUseless, match="No space left"):
        restore(config_of(tmp_path / "new"), snapshot)
    assert _left(tmp_path) == {"cluster", "cluster-memory", "a.snap"}


@pytest.mark.parametrize(
    ("name", "told"), [("cluster", "is a directory"), ("none/a.snap", "is not there")]
)
def test_a_place_that_is_none_is_told(cluster: Config, name: str, told: str) -> None:
    with pytest.raises(SnapshotUseless, match=told):
        save(cluster, cluster.data_dir.parent / name)


def test_a_cluster_that_was_never_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnapshotUseless, match="nothing has been started"):
        save(config_of(tmp_path / "none"), tmp_path / "a.snap")


def _invoke(*arguments: str) -> str:
    result = CliRunner().invoke(snapshot_commands.app, list(arguments), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_status_tells_people_and_programs_the_same(snapshot: Path) -> None:
    told = json.loads(_invoke("status", str(snapshot), "-o", "json"))
    assert told == yaml.safe_load(_invoke("status", str(snapshot), "-o", "yaml"))
    assert told["totalKey"] == PODS
    assert told["totalSize"] == snapshot.stat().st_size
    assert told["revision"] == PODS + 1
    assert told["version"] == "1.2"
    pods = next(one for one in told["partitions"] if one["name"] == "pods")
    assert pods["objects"] == {"pods": PODS}
    table = _invoke("status", str(snapshot))
    assert told["hash"] in table
    assert "not included" in table


def test_verify_tells_the_hash_that_status_does(snapshot: Path) -> None:
    told = json.loads(_invoke("status", str(snapshot), "-o", "json"))
    assert f"intact, {PODS} objects, hash {told['hash']}" in _invoke("verify", str(snapshot))


@pytest.mark.parametrize("command", ["save", "restore", "verify", "status"])
def test_help_of_a_snapshot_command_gives_an_example(command: str) -> None:
    text = _invoke(command, "--help")
    assert "Example" in text
    assert f"ultraplane snapshot {command}" in text
