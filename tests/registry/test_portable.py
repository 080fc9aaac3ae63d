"""Export and import: everything travels whole, or nothing does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worldsim.commands.registry import app
from worldsim.errors import CardError, ConfigurationError, IntegrityError, ModelNotFoundError
from worldsim.models.cat import Cat
from worldsim.registry import StoredRegistry, from_pretrained, open_registry
from worldsim.registry.builtin import shipped_models
from worldsim.registry.interaction_artefact import MAX_INTERACTION_BYTES
from worldsim.registry.maintenance import verify
from worldsim.registry.portable import export_models, import_models
from worldsim.types import Query

LIKE_THE_CAT = Query(extent_m=(0.45, 0.16, 0.30))


def content(registry: StoredRegistry) -> dict[str, bytes]:
    """Every version's card and bytes."""
    found = {}
    for card in registry.cards():
        for version in registry.versions(card.model_id):
            kept, data = registry.fetch_bytes(card.model_id, version)
            found[f"{kept}"] = data
    return found


@pytest.fixture
def full(tmp_path, cat_card) -> StoredRegistry:
    """A registry with a few models, one of them in three versions, and aliases."""
    with open_registry(f"sqlite:///{tmp_path / 'full.db'}") as registry:
        registry.store_checked(list(islice(shipped_models(), 12)))
        for number in range(3):
            registry.publish(Cat(cat_card.replace(provenance=f"Number {number}.")))
        registry.set_alias("cat/test-cat", "champion", 2)
        yield registry


@pytest.mark.parametrize("name", ["folder", "models.tar", "models.tar.gz"])
def test_what_is_exported_is_imported_to_the_last_byte(full, registry, tmp_path, name):
    done = export_models(full, tmp_path / name)
    assert (done.models, done.versions) == (13, 15)
    result = import_models(registry, done.path)
    assert (result.stored, result.skipped, result.renumbered) == (15, 0, {})
    assert content(registry) == content(full)
    assert registry.aliases("cat/test-cat") == {"champion": 2}
    assert registry.search(LIKE_THE_CAT) == full.search(LIKE_THE_CAT)
    assert verify(registry).findings == ()
    assert import_models(registry, done.path).skipped == 15
    assert verify(registry).findings == ()


def test_the_same_registry_gives_the_same_bytes(full, tmp_path):
    first, second = (export_models(full, tmp_path / name).path for name in ("a.tar.gz", "b.tar.gz"))
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_is_made_of_artefacts_and_checked_by_sha256sum(full, tmp_path):
    folder = export_models(full, tmp_path / "folder").path
    model = from_pretrained(folder / "models" / "cat" / "test-cat" / "2")
    assert model.card == full.card("cat/test-cat", 2)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)


def test_a_folder_that_was_packed_by_hand_is_imported(full, registry, tmp_path):
    folder = export_models(full, tmp_path / "folder").path
    subprocess.run(["tar", "-cf", tmp_path / "by-hand.tar", "-C", folder, "."], check=True)
    assert import_models(registry, tmp_path / "by-hand.tar").stored == 15
    assert content(registry) == content(full)


def test_only_what_is_named_is_exported(full, registry, tmp_path):
    done = export_models(full, tmp_path / "one.tar", only=["cat/test-cat"])
    assert (done.models, done.versions) == (1, 3)
    import_models(registry, done.path)
    assert registry.versions("cat/test-cat") == [1, 2, 3]
    with pytest.raises(ModelNotFoundError, match="no model 'cat/nobody' to export"):
        export_models(full, tmp_path / "none.tar", only=["cat/nobody"])
    assert not (tmp_path / "none.tar").exists()


def test_nothing_is_overwritten_by_an_export(full, tmp_path):
    (tmp_path / "there.tar").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        export_models(full, tmp_path / "there.tar")
    assert (tmp_path / "there.tar").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["models.zip", "models.tar.xz", "models.gz"])
def test_an_archive_of_a_format_that_is_not_written_is_no_folder(full, tmp_path, name):
    with pytest.raises(ConfigurationError, match=r"archive of another format, expected \.tar, \.tar\.gz, \.tgz"):
        export_models(full, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_version_whose_number_is_taken_is_refused_or_renumbered(full, registry, tmp_path, cat_card):
    registry.publish(Cat(cat_card.replace(provenance="Another one.")))
    path = export_models(full, tmp_path / "models.tar").path
    with pytest.raises(ConfigurationError, match=r"cat/test-cat@1, and another model has that name.*--renumber"):
        import_models(registry, path)
    assert len(registry) == 1
    result = import_models(registry, path, renumber=True)
    assert result.renumbered == {"cat/test-cat@1": "cat/test-cat@4"}
    assert registry.card("cat/test-cat", 1).provenance == "Another one."
    assert registry.card("cat/test-cat", 4).provenance == "Number 0."
    assert registry.aliases("cat/test-cat") == {"champion": 2}
    assert verify(registry).findings == ()


def test_an_older_version_that_comes_later_is_not_taken_for_the_newest(full, registry, tmp_path, cat_card):
    for number in range(3):
        registry.publish(Cat(cat_card.replace(provenance=f"Number {number}.")))
    registry.publish(Cat(cat_card.replace(provenance="The newest.")))
    with registry.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM tags WHERE row = 2")
        connection.exec_driver_sql("DELETE FROM cards WHERE row = 2")
    import_models(registry, export_models(full, tmp_path / "models.tar", only=["cat/test-cat"]).path)
    assert registry.versions("cat/test-cat") == [1, 2, 3, 4]
    assert registry.fetch("cat/test-cat").card.provenance == "The newest."
    assert verify(registry).findings == ()


def edited(path: Path, change: dict[str, bytes | None], extra: tarfile.TarInfo | None = None) -> Path:
    """Write the tar file anew with members replaced, left out (None) or added."""
    target = path.with_name("edited.tar")
    with tarfile.open(path) as old, tarfile.open(target, "w") as new:
        for member in old:
            data = change.pop(member.name, old.extractfile(member).read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
        for name, data in change.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
        if extra is not None:
            new.addfile(extra)
    return target


MODEL = "models/cat/test-cat/1"


@pytest.mark.parametrize(
    "change",
    [
        {f"{MODEL}/model.safetensors": b"\x80\x04cos\nsystem\n(S'echo pwned'\ntR."},
        {f"{MODEL}/README.md": b"changed"},
        {f"{MODEL}/README.md": None},
        {f"{MODEL}/config.json": b"{}"},
        {"SHA256SUMS": None},
        {"SHA256SUMS": b"\xff\xfe"},
        {"registry.json": b"[" * 100_000},
        {"registry.json": None},
        {"../outside": b"x"},
        {"/etc/cron.d/outside": b"x"},
        {"models/cat/../../outside/1/config.json": b"{}"},
        {"models/cat/test-cat/9/config.json": b"{}"},
        {"models/cat/test-cat/1/extra.py": b"print('pwned')"},
        {"interactions/pairwise/huge/1/model.safetensors": bytes(MAX_INTERACTION_BYTES + 1)},
    ],
    ids=lambda change: next(f"{name[-20:]}: {data and data[:8]}" for name, data in change.items()),
)
def test_of_a_damaged_or_hostile_archive_nothing_is_imported(full, registry, tmp_path, change):
    path = export_models(full, tmp_path / "models.tar").path
    with pytest.raises((IntegrityError, CardError)):
        import_models(registry, edited(path, dict(change)))
    assert len(registry) == 0
    assert verify(registry).findings == ()
    assert not (tmp_path / "outside").exists()


def test_a_link_in_an_archive_is_refused(full, registry, tmp_path):
    path = export_models(full, tmp_path / "models.tar").path
    link = tarfile.TarInfo(f"{MODEL}/config.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(IntegrityError, match="which no export holds"):
        import_models(registry, edited(path, {}, link))
    folder = export_models(full, tmp_path / "folder").path
    (folder / MODEL / "README.md").unlink()
    (folder / MODEL / "README.md").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="which no export holds"):
        import_models(registry, folder)


@pytest.mark.parametrize("name", ["models.tar", "models.tar.gz"])
def test_a_truncated_archive_is_an_integrity_error(full, registry, tmp_path, name):
    path = export_models(full, tmp_path / name).path
    for share in (0.0, 0.3, 0.7):
        cut = tmp_path / f"cut-{share}{name[6:]}"
        cut.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(IntegrityError):
            import_models(registry, cut)
    assert len(registry) == 0


def test_aliases_of_an_archive_are_checked_too(full, registry, tmp_path):
    path = export_models(full, tmp_path / "models.tar").path
    with tarfile.open(path) as tar:
        index = json.loads(tar.extractfile("registry.json").read())
        sums = tar.extractfile("SHA256SUMS").read().decode()
    index["aliases"] = {"cat/test-cat": {"champion": 77}}
    text = json.dumps(index).encode()
    from worldsim.registry.artefact import sha256_of

    lines = [sha256_of(text) + "  registry.json" if x.endswith("registry.json") else x for x in sums.splitlines()]
    change = {"registry.json": text, "SHA256SUMS": ("\n".join(lines) + "\n").encode()}
    with pytest.raises(IntegrityError, match=r"alias 'champion' names 'cat/test-cat@77'"):
        import_models(registry, edited(path, change))
    assert len(registry) == 0


def test_an_export_that_fails_leaves_nothing(full, tmp_path):
    pack = Path(f"{full.database.url.database}.blobs") / "pack-00000001.bin"
    os.truncate(pack, pack.stat().st_size // 2)
    for name in ("folder", "models.tar"):
        with pytest.raises(IntegrityError):
            export_models(full, tmp_path / "out" / name)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_commands_carry_and_clear(full, address, tmp_path):
    run = CliRunner().invoke
    source = full.database.url.render_as_string()
    path = str(tmp_path / "models.tar")
    made = json.loads(run(app, ["export", path, "--registry", source, "--json"]).stdout)
    assert made["versions"] == 15
    taken = json.loads(run(app, ["import", path, "--registry", address, "--json"]).stdout)
    assert (taken["stored"], taken["skipped"]) == (15, 0)
    cleared = json.loads(run(app, ["gc", "--registry", address, "--keep-versions", "1", "--json"]).stdout)
    assert cleared["versions"] == 1  # of three, the newest stays and the one that an alias names
    with open_registry(address) as registry:
        assert registry.versions("cat/test-cat") == [2, 3]
        assert verify(registry).findings == ()


@pytest.mark.parametrize("command", ["publish", "import"])
def test_what_is_not_there_to_be_stored_makes_no_registry(command, tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    done = CliRunner().invoke(app, [command, str(tmp_path / "nothing"), "--registry", url])
    assert done.exit_code != 0
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_watches_a_progress_the_standard_error_says_nothing(full):
    source = full.database.url.render_as_string()
    done = CliRunner().invoke(app, ["verify", "--registry", source, "--json"])
    assert done.exit_code == 0
    assert done.stderr == ""
