"""The command: a whole search on a small supernet, resumed, shared, refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run, settings

from search.options import SearchOptions
from supernet import Arch, InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "s"
    run(settings(trained), folder)
    return folder


def test_everything_is_written(finished: Path) -> None:
    value = json.loads((finished / "candidates.json").read_text())
    assert value["schema"] == 1
    numbers = [candidate["number"] for candidate in value["candidates"]]
    # Six searched, and two random ones unless the search met them before.
    assert numbers == list(range(len(numbers)))
    assert 6 <= len(numbers) <= 8
    assert set(value["chosen"]) == {"small", "large"}
    lines = (finished / "candidates.csv").read_text().splitlines()
    assert len(lines) == 1 + len(numbers)
    assert lines[0].startswith("number,origin,label,round,AP,")
    report = (finished / "report.html").read_text()
    assert "http" not in report.replace("http-equiv", "")
    assert report.count("data:image/png;base64,") >= 2
    assert (finished / "accuracy_macs.png").stat().st_size > 5000


def test_the_storage_is_what_was_written(finished: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(finished / "study.journal")))
    # The one study that is left in the storage.
    study = optuna.load_study(study_name=None, storage=storage)
    trials = study.get_trials()
    written = json.loads((finished / "candidates.json").read_text())["candidates"]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * len(written)
    for trial, one in zip(trials, written, strict=True):
        assert trial.values == [one["stats"]["AP"], one["costs"]["macs"]]
        assert trial.user_attrs["codes"] == one["codes"]
        assert trial.user_attrs["stats"] == one["stats"]
        arch = Arch.from_dict(trial.user_attrs["arch"])
        assert trial.params["resolution"] == arch.resolution
        assert trial.params["stages.3.depth"] == arch.stages[3].depth
    assert study.metric_names == ["AP", "macs"]


def test_subnets_are_those_of_the_search(trained: Path, finished: Path) -> None:
    import torch

    from search.session import open_session
    from subnets import load
    from supernet.cost import count_macs

    value = json.loads((finished / "candidates.json").read_text())
    session = open_session(settings(trained))
    for budget in session.problem.budgets:
        net = load(finished / "subnets" / budget.name)
        one = value["candidates"][value["chosen"][budget.name]]
        assert count_macs(net.arch) == one["costs"]["macs"] <= dict(budget.limits)["macs"]
        assert (session.problem.space.encode([net.arch])[0] == one["codes"]).all()
        assert net.about["val"]["AP"] == one["stats"]["AP"]
        session.evaluate.calibrate(net.arch)
        images = torch.rand(1, 3, net.arch.resolution, net.arch.resolution)
        with torch.no_grad():
            for mine, theirs in zip(net(images), session.trained.net(images, net.arch), strict=True):
                assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_second_start_changes_nothing(
    trained: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from supernet.evaluation import SupernetEvaluator

    def never(self: Any, arch: Arch) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr(SupernetEvaluator, "__call__", never)
    before = {
        p: p.read_bytes() for p in finished.rglob("*") if p.suffix in (".safetensors", ".journal", ".json")
    }
    run(settings(trained), finished)
    assert {p: p.read_bytes() for p in before} == before


def test_other_settings_are_refused(trained: Path, finished: Path) -> None:
    with pytest.raises(InputError, match=r"other settings .*seed: 0 there, 1 now"):
        run(settings(trained, seed=1), finished)


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


def test_workers_share_the_command(trained: Path, finished: Path, tmp_path: Path) -> None:
    run(settings(trained, workers=2, lease=20.0), tmp_path / "s")
    alone = json.loads((finished / "candidates.json").read_text())
    shared = json.loads((tmp_path / "s" / "candidates.json").read_text())
    for one in (*alone["candidates"], *shared["candidates"]):
        del one["seconds"]
    assert shared == alone


def test_the_same_command_started_many_times(trained: Path, finished: Path, tmp_path: Path) -> None:
    """In one folder, at the same moment: all of them end well, with the result of one."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["search.session", "search.report.page", "search.study.worker"])
    started = [processes.Process(target=run, args=(settings(trained), tmp_path / "s")) for _ in range(5)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=300)
    assert [process.exitcode for process in started] == [0] * 5
    alone = json.loads((finished / "candidates.json").read_text())
    shared = json.loads((tmp_path / "s" / "candidates.json").read_text())
    for one in (*alone["candidates"], *shared["candidates"]):
        del one["seconds"]
    assert shared == alone


def test_warm_start_from_another_search(trained: Path, finished: Path, tmp_path: Path) -> None:
    front = json.loads((finished / "candidates.json").read_text())["front"]
    config = settings(trained, warm_start=[str(finished / "candidates.json")], baseline=0)
    run(config, tmp_path / "s")
    found = json.loads((tmp_path / "s" / "candidates.json").read_text())["candidates"]
    assert [one["origin"] for one in found[: len(front)]] == ["warm start"] * len(front)
    assert len(found) == 6


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front": []}, r"the front in .*candidates\.json is empty"),
        ({"front": 3}, "holds no candidates"),
        ({"candidates": "text"}, "rows|codes|no candidates"),
    ],
)
def test_warm_start_from_a_damaged_search(
    finished: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    from search.fingerprint import warm_start
    from supernet import SearchSpace

    value = json.loads((finished / "candidates.json").read_text())
    file = tmp_path / "candidates.json"
    file.write_text(json.dumps({**value, **changes}))
    with pytest.raises(InputError, match=message):
        warm_start([str(file)], SearchSpace.load("nano"))
    if "front" not in changes:
        for one in value["candidates"]:
            one["codes"] = "abc"
        file.write_text(json.dumps(value))
        with pytest.raises(InputError, match=r"the codes in .*candidates\.json: codes of space"):
            warm_start([str(file)], SearchSpace.load("nano"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"supernet": "nowhere"}, "training run 'nowhere' does not exist"),
        ({"strategy": "magic"}, "choose from predictor, evolution, random"),
        (
            {"strategy": "predictor", "strategy_options": {"initial": 4}},
            "initial=4 must be a whole number, 10 or more",
        ),
        ({"budgets": {"macs": ["1k"]}}, "below the smallest subnet of space 'nano'; reachable"),
        ({"budgets": {}}, "no budget given"),
        ({"budgets": {"latency_ms": [3]}}, "name a measured device with latency="),
        ({"latency": "nowhere.json"}, "latency table nowhere.json does not exist"),
        ({"accelerator": "abacus"}, "accelerator=abacus cannot be used"),
        ({"accelerator": "meta"}, "accelerator=meta cannot be used"),
        ({"warm_start": ["litepose-s"]}, "litepose-s is not in space 'nano': resolution 448"),
        ({"warm_start": ["missing.yaml"]}, "missing.yaml does not exist"),
    ],
)
def test_bad_settings_leave_nothing_behind(
    trained: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(settings(trained, **changes), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_sqlite_is_for_one_worker() -> None:
    with pytest.raises(InputError, match=r"search\.workers=2: SQLite"):
        SearchOptions(workers=2, storage="sqlite:///s.db")
    assert SearchOptions(storage="sqlite:///s.db").workers == 1


def test_a_table_of_another_space(trained: Path, tmp_path: Path) -> None:
    from search.devices.measurements import Measurements
    from search.devices.options import MeasureOptions
    from search.devices.profiling import make_design
    from supernet import SearchSpace

    space = SearchSpace.load("tiny")
    design = make_design(space, 14, MeasureOptions(parts=30, networks=10), 0)
    times = np.ones((len(design.parts), 2)), np.ones((len(design.archs), 2))
    file = tmp_path / "latency.json"
    Measurements(space, 14, {}, design.sources, design.places, times[0], design.codes, times[1]).save(file)
    config = settings(trained, latency=str(file), budgets={"latency_ms": [3]})
    with pytest.raises(InputError, match="measured for space 'tiny', whose resolution has no 64"):
        run(config, tmp_path / "s")


def test_an_empty_split(trained: Path, tmp_path: Path) -> None:
    from supernet.data.source import DataConfig

    root = tmp_path / "data"
    for part in ("json", "images"):
        (root / part).mkdir(parents=True)
    for split, keep in (("train", True), ("val", False)):
        value = json.loads((trained / "data" / "json" / f"crowdpose_{split}.json").read_text())
        for image in value["images"]:
            os.link(trained / "data" / "images" / image["file_name"], root / "images" / image["file_name"])
        value["annotations"] = value["annotations"] if keep else []
        (root / "json" / f"crowdpose_{split}.json").write_text(json.dumps(value))
    data = DataConfig(root=str(root), workers=0)
    with pytest.raises(InputError, match="nobody to score"):
        run(settings(trained, data=data), tmp_path / "s")
    (root / "json" / "crowdpose_val.json").write_text(json.dumps({**value, "images": [], "annotations": []}))
    with pytest.raises(InputError, match="val"):
        run(settings(trained, data=data), tmp_path / "s")


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
    written = [json.loads((of / "candidates.json").read_text()) for of in (finished, folder)]
    for one in (*written[0]["candidates"], *written[1]["candidates"]):
        del one["seconds"]
    assert written[0] == written[1]


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
    from search.study.journal import END, KEY

    text = re.sub(rb',"crc32":"\w+"', b"", (finished / "study.journal").read_bytes())
    config = settings(trained)
    session = open_session(config)
    for told, where, change in FORGED:
        records = [json.loads(line) for line in text.splitlines()]
        change(next(record for record in records if f'"{where}"' in json.dumps(record)))
        lines, crc = [], 0
        for record in records:
            line = json.dumps(record, separators=(",", ":")).encode()
            lines.append(line[:-1] + KEY + b"%08x" % zlib.crc32(line, crc) + END)
            crc = zlib.crc32(lines[-1], crc)
        (tmp_path / "study.journal").write_bytes(b"".join(lines))
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
    whole = (finished / "study.journal").read_bytes()
    folder = tmp_path / "s"
    run(settings(trained), folder)
    journal = folder / "study.journal"
    # Everything after the fourth finished evaluation is lost, the last line in its middle.
    lines = journal.read_bytes().splitlines(keepends=True)
    done = [i for i, line in enumerate(lines) if b'"state":1' in line]
    journal.write_bytes(b"".join(lines[: done[3] + 2]) + lines[done[3] + 2][:20])
    shutil.rmtree(folder / "subnets")
    run(settings(trained), folder)
    rebuilt = json.loads((folder / "candidates.json").read_text())
    wanted = json.loads((finished / "candidates.json").read_text())
    for one in (*rebuilt["candidates"], *wanted["candidates"]):
        del one["seconds"]
    assert rebuilt == wanted
    assert len(whole) > 0


def test_the_command_line(trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "search.run", f"supernet={trained / 'run'}", "budgets.macs=[1k]"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: budget '1k' of 1 k MACs is below")
    assert len(done.stderr.splitlines()) == 1
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
