"""The command line: texts stand as they are, `+key` is no way around the settings, odd names."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from warm import Run

from subnets.console import register_slug, slug
from subnets.export.options import ExportCommand
from subnets.predict.__main__ import PredictCommand
from supernet import audit, describe
from supernet.cli import launch, one_line, plain_arguments
from supernet.data.loader import require_open_files
from supernet.errors import InputError, until_unread
from supernet.runs.folders import check_run_name, claim_run_folder
from supernet.train import TrainCommand

# A command of a few words, all of which are in the buffer when it ends by itself.
UNREAD = """
from supernet.errors import until_unread
with until_unread():
    print("few")
    raise SystemExit(0)
"""
NAMES = ["photo (1).png", "été.png", "写真.png", "it's.png", "a=b.png", "a,b.png", 'q"x.png', 'a\\"s.png']
NAMES += [" a ", "[b].png", "{a}.png", "1e5", "007", "true", "x\\", "a b", "%:@#.png"]


def read(arguments: list[str]) -> object:
    (override,) = OverridesParser.create().parse_overrides(arguments)
    value = override.value()
    return getattr(value, "text", value)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_what_was_written(name: str) -> None:
    assert read(plain_arguments([f"source={name}"], PredictCommand, "predict")) == name
    assert read(plain_arguments([f"data.root={name}"], TrainCommand, "train")) == name
    assert "=" in name or read(plain_arguments([name], PredictCommand, "predict", "source")) == name


def test_what_hydra_reads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for given, made in (
        (["weights=null"], ["weights=null"]),
        (["source='quoted, too'"], ["source='quoted, too'"]),
        (["source=${name}"], ["source=${name}"]),
        (["source=~/x"], ["source=/home/me/x"]),
        (["source=a\\,b"], ["source=a\\,b"]),
        (["-m", "source=a,b"], ["-m", "source=a,b"]),
        (["predict.scales=[1,2]"], ["predict.scales=[1,2]"]),
        (
            ["--config-dir", "some (1)", "predict.flip=true"],
            ["--config-dir", "some (1)", "predict.flip=true"],
        ),
    ):
        assert plain_arguments(given, PredictCommand, "predict") == made
    assert plain_arguments(["+experiment=x"], TrainCommand, "train") == ["experiment=x"]
    assert plain_arguments(["++data=coco"], TrainCommand, "train") == ["data=coco"]
    with pytest.raises(InputError, match="put texts with spaces"):
        plain_arguments(["arch=[a (1),b]"], ExportCommand, "export")


@pytest.mark.parametrize("name", ["photo (1).png", "写真.png", "-p.jpg", "p${y}.jpg"])
def test_a_picture_of_any_name_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[PredictCommand, Path]] = []
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    monkeypatch.setattr(sys, "argv", ["predict", name, "arch=nowhere"])
    register_slug()
    launch("predict", PredictCommand, lambda config, folder: found.append((config, folder)), "source")
    ((config, folder),) = found
    assert (config.source, folder.name) == (name, slug(name))
    claim_run_folder(folder, config)
    assert claim_run_folder(folder, config)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["data.root=null"], "data.root=null"),
        (["data=null"], "data=null: leave it out, or choose from coco, crowdpose"),
        (["name=a${b}"], "Interpolation key 'b' not found: ${...} in a value means another setting"),
    ],
)
def test_what_means_nothing_is_one_line(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        audit.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert (stopped.value.code, told in line, line.startswith("error: ")) == (2, True, True)


@pytest.mark.parametrize("flags", [["--help"], ["-h", "-m"]])
def test_help_shows_the_settings_as_they_would_be(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["audit", *flags, "data=coco"])
    audit.main()
    header, _, rest = capsys.readouterr().out.partition("\nplugins: []\n")
    settings, _, footer = rest.partition("\nAny value above")
    assert header.startswith("python -m supernet.audit (litepose-audit)")
    assert yaml.safe_load(settings)["data"]["layout"] == "coco"
    assert "runs/audit/NAME" in footer
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", ["describe", *flags])
        describe.main()
    assert "runs/describe" not in capsys.readouterr().out, "it has a footer of its own"
    monkeypatch.setattr(sys, "argv", ["audit", *flags, "data=nothing"])
    with pytest.raises(SystemExit) as stopped:
        audit.main()
    told = capsys.readouterr()
    assert (stopped.value.code, told.out) == (2, "")
    assert "coco" in told.err


@pytest.mark.parametrize("words", [["-m", "supernet.audit", "--help"], ["-c", UNREAD]])
def test_output_that_nobody_reads_ends_a_command_without_a_word(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, *words]
    ended = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_another_broken_pipe_keeps_its_traceback() -> None:
    with pytest.raises(BrokenPipeError), until_unread():
        raise BrokenPipeError


def test_too_few_open_files_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert one_line(OSError(errno.EMFILE, "Too many open files")).endswith("raise ulimit -n")
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (40, 40))
    require_open_files(0)
    with pytest.raises(InputError, match=r"data\.workers=2 needs 64 open files, and 40 are allowed; raise"):
        require_open_files(2)


def test_names_of_other_scripts_do_not_share_a_folder() -> None:
    names = [slug(text) for text in ("写真.png", "照片.png", "!!!", "???", "été", "e\u0301te\u0301")]
    assert names[0] == "写真.png"
    assert names[4] == names[5]
    assert len(set(names)) == 5
    assert all(check_run_name(name) == name for name in names)


@pytest.mark.parametrize("name", ["n" * 300, "写" * 100, "n" * 201])
def test_a_name_that_no_file_system_takes_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is longer than 200 bytes"):
        check_run_name(name)


def test_long_names_are_one_line(run: Run, tmp_path: Path) -> None:
    done = run(tmp_path, "supernet.train", f"name={'n' * 300}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    "argument", ["+nmae=x", "++train.optimizer.lrr=5", "+data.augment.shear=1", "+train.extra={a: 1}"]
)
def test_what_no_setting_has_is_refused_with_a_plus_too(run: Run, argument: str, tmp_path: Path) -> None:
    done = run(tmp_path, "supernet.train", argument)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {argument.lstrip('+').partition('=')[0]} is no setting")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "text",
    [
        b"root: [a\n",
        b"[" * 100_000,
        b"root:\n\t- a\n",
        b"root: !!python/name:os.system x\n",
        "root: x\n".encode("utf-16"),
        b".inf\n",
        b"layout: [" + b"0, " * 2000 + b"0]\n",
        # Nine lists of nine, nine times over: 9 ** 9 values.
        "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]" for i in range(9)).encode(),
    ],
)
def test_a_broken_file_of_settings_is_one_line(run: Run, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "settings/data/typo.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    done = run(tmp_path, "supernet.train", "--config-dir", "settings", "data=typo")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "typo" in line
    assert len(line) < 1500


@pytest.mark.parametrize("name", ["1e5", "007", "true"])
def test_a_name_stays_as_it_was_written(run: Run, name: str, tmp_path: Path) -> None:
    run(tmp_path, "subnets.convert", "arch=litepose-xs", "weights=absent.pth", f"name={name}")
    assert not (tmp_path / f"runs/convert/{name}").exists()
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "runs/convert").rmdir()
    (tmp_path / "runs/convert").write_text("in the way")
    done = run(tmp_path, "subnets.convert", "arch=litepose-xs", "weights=absent.pth", f"name={name}")
    assert f"runs/convert/{name} cannot be read" in done.stderr


def test_the_version_is_ours(run: Run, tmp_path: Path) -> None:
    from supernet import __version__

    assert run(tmp_path, "supernet.train", "--version").stdout == f"litepose-ofa {__version__}\n"


def test_a_sweep_shows_any_setting_and_reads_numbers_only(run: Run, tmp_path: Path) -> None:
    for name, tag in (("a", "[/red]"), ("b", "[bold]x")):
        folder = tmp_path / "s" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"name: {name}\ntag: '{tag}'\n")
        (folder / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    shown = run(tmp_path, "supernet.sweep", "runs=s")
    assert shown.returncode == 0, shown.stderr
    assert "[/red]" in shown.stdout
    assert "[bold]x" in shown.stdout
    for line in ('{"step": 1, "loss": "x"}', '{"step": 1, "loss": null}', '{"step": 1, "loss": [1]}'):
        (tmp_path / "s/b/log.jsonl").write_text(line + "\n")
        done = run(tmp_path, "supernet.sweep", "runs=s")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "log s/b/log.jsonl: loss=" in done.stderr
