"""Where a search keeps its trials: passwords, servers that do not answer, SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import free_port, run, settings

from search.options import SearchOptions
from supernet import InputError


def test_a_password_is_not_kept(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does another one make a folder refuse its own search."""
    import search.session
    from search.study.storage import open_storage

    def open_file(where: str, patience: float, repair: bool) -> object:
        assert where.startswith("postgresql://me:")
        return open_storage(tmp_path / "study.journal")

    monkeypatch.setattr(search.session, "open_storage", open_file)
    for password in ("secret", "changed"):
        run(settings(trained, storage=f"postgresql://me:{password}@db/search"), tmp_path / "s")
    assert "storage: postgresql://me:***@db/search" in (tmp_path / "s" / "config.yaml").read_text()
    with pytest.raises(InputError, match=r"search\.storage: '.*db/search' there, '.*db/other' now"):
        run(settings(trained, storage="postgresql://me:changed@db/other"), tmp_path / "s")


def test_passwords_are_hidden() -> None:
    from search.study.storage import hidden_password, open_storage

    assert hidden_password("postgresql+psycopg://me:p@ss@db/x") == "postgresql+psycopg://me:***@db/x"
    assert (
        hidden_password("mysql://db/x?user=me&password=p&ssl=1") == "mysql://db/x?user=me&password=***&ssl=1"
    )
    assert hidden_password("grpc://me:p@host:1") == "grpc://me:***@host:1"
    with pytest.raises(InputError) as caught:
        open_storage("grpc://me:secret@host:1")
    assert "grpc://me:***@host:1" in str(caught.value)
    for plain in ("postgresql://me@db/x", "sqlite:///a@b.db", "runs/study.journal", "grpc://host:1"):
        assert hidden_password(plain) == plain


def test_sqlite_is_for_one_worker() -> None:
    with pytest.raises(InputError, match=r"search\.workers=2: SQLite"):
        SearchOptions(workers=2, storage="sqlite:///s.db")
    assert SearchOptions(storage="sqlite:///s.db").workers == 1


@pytest.mark.parametrize(
    "storage",
    [
        "grpc://127.0.0.1:{port}",
        "postgresql+psycopg://u:secret@127.0.0.1:{port}/d",
        "sqlite:////nowhere/s.db",
    ],
)
def test_a_dead_storage(trained: Path, tmp_path: Path, storage: str) -> None:
    if "psycopg" in storage:
        pytest.importorskip("psycopg")
    config = settings(trained, storage=storage.format(port=free_port()), patience=0.3)
    with pytest.raises(InputError, match=r"does not answer .*; check search\.storage") as caught:
        run(config, tmp_path / "s")
    assert "secret" not in str(caught.value)
