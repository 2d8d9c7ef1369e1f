"""The journal of a search: torn, damaged, forged, or something else; and what is left of it goes on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import found_by, run, settings

from supernet import InputError


def test_a_damaged_journal(trained: Path, finished: Path, tmp_path: Path) -> None:
    from search.study.storage import open_storage

    lines = (finished / "study.journal").read_bytes().splitlines(keepends=True)
    journal = tmp_path / "study.journal"
    damages = {
        b"{broken\n" + lines[5]: 6,
        lines[6]: 6,  # one is missing
        lines[4] + lines[5]: 6,  # one is there twice
        lines[5].replace(b"0", b"1", 1): 6,
        lines[5][:-12] + b"00000000" + b'"}\n': 6,
    }
    journal.write_bytes(b"{broken\n" + b"".join(lines[1:]))
    with pytest.raises(InputError, match=r"no journal|damaged in line 1;"):
        open_storage(journal)
    journal.write_bytes(lines[0].replace(b'"crc32"', b'"crc33"') + b"".join(lines[1:]))
    with pytest.raises(InputError, match=r"damaged in line 1;"):
        open_storage(journal)
    for damage, line in damages.items():
        journal.write_bytes(b"".join(lines[:5]) + damage + b"".join(lines[7:]))
        with pytest.raises(InputError, match=rf"study\.journal is damaged in line {line};"):
            open_storage(journal)
        damaged = journal.read_bytes()
    old = [re.sub(rb',"crc32":"\w+"', b"", line) for line in lines]
    journal.write_bytes(b"".join(old))
    with pytest.raises(InputError, match=r"older version; choose another name"):
        open_storage(journal)
    journal.write_bytes(damaged)
    open_storage(journal, repair=True)
    assert journal.read_bytes() == b"".join(lines[:5])
    assert (tmp_path / "study.journal.damaged").read_bytes() == damaged
    # What is left is a whole search's beginning.
    folder = tmp_path / "s"
    folder.mkdir()
    shutil.copy(finished / "config.yaml", folder)
    (folder / "study.journal").write_bytes(damaged)
    with pytest.raises(InputError, match=r"damaged in line 6"):
        run(settings(trained), folder)
    run(settings(trained, repair=True), folder)
    assert found_by(folder) == found_by(finished)


FORGED: list[tuple[str, str, Callable[[Any], object]]] = [
    ("no search wrote", "codes", lambda r: r.pop("op_code")),
    ("no search wrote", "codes", lambda r: r.update(op_code=77)),
    ("no search wrote", "codes", lambda r: r.update(distributions={})),
    ("not what its round planned", "codes", lambda r: r["user_attrs"]["codes"].append(0)),
    ("not what its round planned", "codes", lambda r: r["user_attrs"].update(round=99)),
    ("none that a search has written", "codes", lambda r: r["user_attrs"].update(index="0")),
    ("none that a search has written", "codes", lambda r: r["user_attrs"].update(costs=[1])),
    ("none that a search has written", "stats", lambda r: r.update(user_attr={"lease": {"worker": {}}})),
    ("none that a search has written", "stats", lambda r: r["user_attr"]["stats"].update(AP=[0.5])),
    ("none that a search has written", "stats", lambda r: r.update(user_attr={"other": 1})),
    ("is no plan", "plan:0", lambda r: r["user_attr"]["plan:0"].update(rows=[1])),
]


def test_records_that_no_search_wrote(trained: Path, finished: Path, tmp_path: Path) -> None:
    """With checksums that fit: one line, wherever the record is read."""
    from search.session import open_session, open_study
    from search.study.journal import Journal

    text = re.sub(rb',"crc32":"\w+"', b"", (finished / "study.journal").read_bytes())
    config = settings(trained)
    session = open_session(config)
    for told, where, change in FORGED:
        records = [json.loads(line) for line in text.splitlines()]
        change(next(record for record in records if f'"{where}"' in json.dumps(record)))
        (tmp_path / "study.journal").unlink(missing_ok=True)
        Journal(tmp_path / "study.journal").append_logs(records)
        with pytest.raises(InputError, match=told):
            open_study(config, session, tmp_path).candidates()


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    from search.study.storage import open_storage

    notes = tmp_path / "notes.txt"
    for text in ("one line without an end", "lines\nof text\n", "{"):
        notes.write_text(text)
        if text == "{":
            # All that a kill may leave of a journal.
            assert open_storage(notes).get_all_studies() == []
            continue
        with pytest.raises(InputError, match=r"notes\.txt is no journal of a search; choose another"):
            open_storage(notes)
        assert notes.read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "endless.journal").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is a link; give the file itself"):
        open_storage(tmp_path / "endless.journal")


def test_a_torn_last_line_is_mended(trained: Path, finished: Path, tmp_path: Path) -> None:
    """As a kill or a full disk in the middle of a write leaves it."""
    folder = tmp_path / "s"
    # What was begun and is lost is taken over after the lease, of a minute where nobody says.
    run(settings(trained, lease=2.0), folder)
    journal = folder / "study.journal"
    # Everything after the fourth finished evaluation is lost, the last line in its middle.
    lines = journal.read_bytes().splitlines(keepends=True)
    done = [i for i, line in enumerate(lines) if b'"state":1' in line]
    journal.write_bytes(b"".join(lines[: done[3] + 2]) + lines[done[3] + 2][:20])
    shutil.rmtree(folder / "subnets")
    run(settings(trained, lease=2.0), folder)
    assert found_by(folder) == found_by(finished)
