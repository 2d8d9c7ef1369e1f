"""What every command shares: a typed config and one-line errors with exit status 2."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from . import __version__
from .errors import InputError, is_exhausted, message, until_unread
from .options import CommandOptions
from .registry import conf_folder, conf_names, load_plugins
from .runs.files import DISK_FULL, check_settings, read_yaml, remove_if_empty
from .runs.folders import check_run_name
from .runs.reading import read_bytes

MULTIRUN = ("-m", "--multirun")
HELP = ("-h", "--help")
# What Hydra shows instead of running; it ends in a traceback when asked for both.
_SHOWING = re.compile(r"(--cfg|--info)(=.*)?|-[ci]")
# Hydra's flags that take the next word.
_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn")
_FOLDER_FLAGS = ("--config-dir", "-cd")
# Never part of a job's folder name.
ALWAYS_LEFT_OUT = ("name", "experiment")
# The choice of `data` that `with_data_of_run` makes.
OF_RUN = "of_run"
_NO_LAUNCHER = re.compile(r"Could not load 'hydra/launcher/(joblib|submitit|ray)")


def plain_arguments(arguments: Sequence[str], schema: type, command: str, positional: str = "") -> list[str]:
    """A command line in Hydra's grammar, from one in which texts stand as they are.

    A setting that is a text keeps its value letter by letter, whatever it holds (brackets, spaces, quotes, =,
    commas; `1e5` stays `1e5`); `~/` is the home folder. `+group=x` means `group=x` where the command has that
    group. In a multirun a comma separates values, as always.

    Args:
        arguments: the command line without the program.
        schema: the command's settings.
        command: name of its primary config.
        positional: the setting that a word without `=` is for.

    Raises:
        InputError: an argument cannot be read; the line says how to write it.
    """
    multirun = any(flag in arguments for flag in MULTIRUN)
    groups = primary_groups(command)
    found = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        # A dot is in no flag.
        is_file = bool(positional) and "." in argument and os.path.exists(argument)
        if (argument.startswith("-") and not is_file) or before in (*_WITH_VALUE, *_FOLDER_FLAGS):
            found += [argument] if argument != "--" else []
            continue
        key, equals, value = argument.partition("=")
        prefix = re.match(r"[+~]*", key)
        key = key[prefix.end() if prefix else 0 :]
        if positional and (not equals or os.path.exists(argument)):
            key, equals, value, prefix = positional, "=", argument, None
        if key in groups and value.lower() == "null":
            raise InputError(f"{argument}: leave it out, or choose from {', '.join(conf_names(key))}")
        start = prefix[0] if prefix and key not in groups else ""
        if not equals:
            found.append(argument)
        else:
            hint = _hint_of(schema, key)
            found.append(f"{start}{key}={_plain_value(f'{start}{key}', value, hint, multirun)}")
    return found


def primary_groups(command: str) -> dict[str, str | None]:
    """The groups from which the primary config of `command` chooses, and what it chooses."""
    entries = read_yaml(conf_folder(".") / f"{command}.yaml")["defaults"]
    found = {key: name for entry in entries if isinstance(entry, dict) for key, name in entry.items()}
    return {key: name for key, name in found.items() if not key.startswith("override ")}


def with_data_of_run(arguments: Sequence[str], command: str) -> list[str]:
    """A command line with the data that its supernet was trained with, where it chooses none itself.

    Settings such as `data.root=...` then change those. Commands that choose no data by default ask the
    supernet themselves where nothing is to be changed.

    Raises:
        InputError: what the supernet's checkpoint says of its data cannot be used.
    """
    groups = primary_groups(command)
    given = dict(argument.lstrip("+~").partition("=")[::2] for argument in arguments)
    run = os.path.expanduser(given.get("supernet", "").strip("\"'"))
    several = any(flag in arguments for flag in MULTIRUN) and "," in run
    if "data" not in groups or run in ("", "null") or several or {"data", "experiment"} & set(given):
        return list(arguments)
    if groups["data"] is None and not any(key.startswith("data.") for key in given):
        return list(arguments)
    from .training.checkpoint import data_choice, find_checkpoint

    try:
        path = find_checkpoint(run)
    except InputError:  # the command itself will say it
        name, known = f"{OF_RUN}_that_is_missing", {}
    else:
        name, known = OF_RUN, data_choice(path)
    if not known and (name == OF_RUN or groups["data"] is not None):
        return list(arguments)
    ConfigStore.instance().store(group="data", name=name, node=OmegaConf.create(known))
    return [*arguments, f"data={name}"]


def _hint_of(schema: type, key: str) -> object:
    """The type of the setting with a dotted key; None where there is none of that name."""
    hint: Any = schema
    for part in key.split("."):
        kinds = [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]
        if get_origin(hint) is dict:
            hint = get_args(hint)[1]
        else:
            hint = get_type_hints(kinds[0]).get(part) if kinds else None
    return hint


def _plain_value(key: str, value: str, hint: object, multirun: bool) -> str:
    """`value` so that Hydra reads the text that it is, if the setting is a text."""
    is_text = hint is str or set(get_args(hint)) == {str, type(None)}
    if is_text and value.startswith("~"):
        value = os.path.expanduser(value)
    if is_text and "${" in value and os.path.lexists(value):
        return _quoted(value.replace("${", "\\${"))
    try:
        (parsed,) = OverridesParser.create().parse_overrides([f"{key}={value}"])
    except HydraException:
        if is_text or (hint is Any and not value.startswith("[")):
            return _quoted(value)
        raise InputError(
            f"{key}={value} cannot be read; put texts with spaces, brackets, quotes, = or commas in quotes, "
            f"and the whole argument in others: '{key}=[\"photo (1).png\", b]'"
        ) from None
    if not is_text or (multirun and parsed.is_sweep_override()):
        return value
    read, is_quoted = parsed.value(), len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    as_it_is = read is None or read == value or is_quoted or "${" in value or "\\" in value
    return value if as_it_is else _quoted(value)


def _quoted(value: str) -> str:
    # Hydra halves the backslashes before a quote, and keeps others.
    text = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ("\\" + found[2] if found[2] else ""), value)
    return f'"{text}"'


def refuse_unknown(config: DictConfig, prefix: str = "") -> None:
    """Raise InputError at a key that `+key=value` has added and no setting has."""
    kind = OmegaConf.get_type(config)
    if not is_dataclass(kind):
        return
    known = {each.name for each in fields(kind)}
    for key in map(str, config):
        if key not in known:
            raise InputError(f"{prefix}{key} is no setting: '{kind.__name__}' has no '{key}'; see --help")
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            refuse_unknown(config[key], f"{prefix}{key}.")


def with_job_names(arguments: Sequence[str]) -> list[str]:
    """A multirun's command line with its fixed settings kept out of the jobs' folder names.

    Hydra names a job's folder after all its overrides: with a few paths among them that is longer than a
    file name may be. Other command lines come back as they are.

    Args:
        arguments: the command line without the program.

    Raises:
        HydraException: an override cannot be parsed.
        InputError: a multirun and something to show are asked for at once.
    """
    if not any(flag in arguments for flag in MULTIRUN):
        return list(arguments)
    shown = next((argument for argument in arguments if _SHOWING.fullmatch(argument)), None)
    if shown is not None:
        raise InputError(f"{shown} shows the settings of one run; leave out -m and give one value of each")
    places = [i for i, argument in enumerate(arguments) if "=" in argument and not argument.startswith("-")]
    if not places:
        return list(arguments)
    parsed = OverridesParser.create().parse_overrides([arguments[i] for i in places])
    fixed = [override.key_or_group for override in parsed if not override.is_sweep_override()]
    keys = ",".join(f"'{key}'" for key in dict.fromkeys((*ALWAYS_LEFT_OUT, *fixed)))
    # Beside the other overrides: Hydra's parser takes only one run of them.
    first = places[0]
    added = f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
    return [*arguments[:first], added, *arguments[first:]]


def launcher_mend(message: str) -> str:
    """What to add to Hydra's `message` when it misses a launcher's package; else nothing."""
    missing = _NO_LAUNCHER.search(message)
    return f" It comes with: pip install 'litepose-ofa[{missing[1]}]'" if missing else ""


C = TypeVar("C", bound=CommandOptions)

EXIT_BAD_INPUT = 2
# What Hydra and OmegaConf add to a message: a mend that typed configs refuse, their own insides.
_HYDRA_HINT = re.compile(
    r" ?(To append to your (config|default list) use \S+|full_key: .*|Config search path:.*)"
)
_RESOLVING = re.compile(r"\w+ (raised )?while resolving interpolation: ")
# What the user's disk or permissions forbid, not a fault of ours.
_DISK_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, *DISK_FULL}
_DISK_ERRORS |= {errno.EISDIR, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE}
_MISSING = re.compile(r"Missing mandatory value: (\S+)")


def _open_mappings(node: DictConfig) -> None:
    for child in map(node._get_node, node):
        if isinstance(child, DictConfig) and not (child._is_none() or child._is_missing()):
            if child._metadata.object_type is dict:
                OmegaConf.set_struct(child, False)
            _open_mappings(child)


def store_schema(command: str, schema: type) -> None:
    """Give `<command>_schema` to Hydra; the keys of a mapping are the user's and need no `+`."""
    node = OmegaConf.structured(schema)
    _open_mappings(node)
    ConfigStore.instance().store(name=f"{command}_schema", node=node)


@until_unread()
def launch(command: str, schema: type[C], body: Callable[[C, Path], object], positional: str = "") -> None:
    """Run one command: compose `conf/<command>.yaml` with the command line, check it, call `body`. Its
    primary config lists `<command>_schema`, then `base` (run folders, help) in its defaults.

    Args:
        command: name of the primary config.
        schema: dataclass of the config; a misspelt key or a value of the wrong type is refused by its name.
        body: does the work, given the config as an instance of `schema` and the run folder (not yet made).
        positional: the setting that a word without `=` is for.

    Exits with status 2 and one line on bad input; a traceback is left for bugs.
    """
    store_schema(command, schema)
    OmegaConf.register_new_resolver("run_name", check_run_name, replace=True)
    # Hydra prints and exits by itself unless asked for the exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    if "--version" in sys.argv[1:]:
        print(f"litepose-ofa {__version__}")
        return
    try:
        for path, text in _own_settings():
            if text is not None:
                check_settings(text, f"settings {path}")
        shown = [argument for argument in sys.argv[1:] if argument not in HELP]
        is_help = len(shown) < len(sys.argv) - 1
        if is_help:
            shown = [*(argument for argument in shown if argument not in MULTIRUN), "--cfg", "job"]
        shown = with_data_of_run(shown, command)
        sys.argv[1:] = with_job_names(plain_arguments(shown, schema, command, positional))
        run = hydra.main(version_base="1.3", config_path="pkg://conf", config_name=command)
        with _help_around(command) if is_help else nullcontext():
            run(_task(command, body))()
    except InterpolationResolutionError as error:
        # The run folder's name is made of settings before the command sees them.
        told = _MISSING.sub(rf"{command} needs \1=...; see --help", _RESOLVING.sub("", str(error)))
        fail(InputError(told.replace("not found", "not found: ${...} in a value means another setting")))
    except UnicodeError as error:
        wrong = next((path for path, text in _own_settings() if text is None), "a file of settings")
        fail(InputError(f"{wrong} is not UTF-8 text: {error}"))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        mend = _mend_of_null(error, sys.argv[1:], command)
        if mend is None and not is_users(error):
            raise
        fail(error if mend is None else InputError(mend))


@contextmanager
def _help_around(command: str) -> Iterator[None]:
    """Print the help texts of `command` around what the block prints, its settings.

    Hydra's own help first lists the options of all groups, which takes most of its time and is not shown.
    """
    with redirect_stdout(io.StringIO()) as settings:
        yield
    texts: dict[str, str] = {}
    for name in ("base", command):
        texts |= read_yaml(conf_folder(".") / f"{name}.yaml", "settings")["hydra"]["help"]
    footer = texts["footer"].replace("${hydra.job.config_name}", command)
    print(texts["header"], settings.getvalue(), footer, sep="\n")


def _task(command: str, body: Callable[[C, Path], object]) -> Callable[[DictConfig], None]:
    """What Hydra calls with the composed config: check it, then call `body`."""

    def task(config: DictConfig) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            # Before the settings are checked: some of them name what a plugin registers.
            load_plugins(config.plugins)
            refuse_unknown(config)
            missing = sorted(str(key) for key in OmegaConf.missing_keys(config))
            if missing:
                raise InputError(f"{command} needs {', '.join(f'{key}=...' for key in missing)}; see --help")
            typed = cast(C, OmegaConf.to_object(config))
            if HydraConfig.get().runtime.choices.get("data") == OF_RUN:
                from .data.source import require_there

                require_there(typed.data, config.supernet)  # type: ignore[attr-defined]
            body(typed, folder)
        except Exception as error:
            if not is_users(error):
                raise
            remove_if_empty(folder)
            # Past this point Hydra adds lines of its own; in a sweep it has to see the failure, and names it.
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            fail(error)

    return task


def _mend_of_null(error: Exception, arguments: list[str], command: str) -> str | None:
    """What to say where an override reaches into what is null, which Hydra's own error does not."""
    if isinstance(error, AttributeError) and (key := re.search(r"full_key: (\S+)", str(error))):
        return f"{key[1]} is null here: not the command line, a file of settings alone can set parts of it"
    if not isinstance(error, AssertionError) or "Unexpected type for root: NoneType" not in str(error):
        return None
    chosen, default = {argument.partition("=")[0] for argument in arguments}, primary_groups(command)
    for argument in arguments:
        group, dot, _ = argument.partition("=")[0].partition(".")
        if dot and group not in chosen and default.get(group, group) is None:
            options = ", ".join(conf_names(group))
            return f"{argument} is a setting of the group {group}: choose {group}=... too ({options})"
    return "a setting is a part of one that is null, or of a group for which no option is chosen; see --help"


def _own_settings() -> Iterator[tuple[Path, str | None]]:
    """The user's files of settings and their texts; None for what is not text."""
    for before, argument in pairwise(["", *sys.argv[1:]]):
        name, _, value = argument.partition("=")
        folder = argument if before in _FOLDER_FLAGS else value if name == "--config-dir" else ""
        for path in (p for form in ("*.yaml", "*/*.yaml") for p in Path(folder).glob(form)) if folder else ():
            try:
                yield path, read_bytes(path, "settings").decode()
            except UnicodeError:
                yield path, None


def is_users(error: BaseException) -> bool:
    """Whether the user can mend what `error` says; everything else is a bug and keeps its traceback."""
    # Hydra's missing config is an OSError too, without a number.
    users = isinstance(error, InputError | HydraException | OmegaConfBaseException | yaml.YAMLError)
    return users or is_exhausted(error) or (isinstance(error, OSError) and error.errno in _DISK_ERRORS)


def fail(error: BaseException) -> NoReturn:
    """Print the error as one line and exit with the status of bad input."""
    print(f"error: {message(one_line(error))}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


def one_line(error: BaseException) -> str:
    """The message of `error` (and of its cause, where Hydra wraps one) in one line."""
    if is_exhausted(error):
        return "there is not enough memory; smaller batches or pictures need less"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return f"nothing more can be written ({error.strerror}); make room and start the same command again"
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        mend = "; raise ulimit -n" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
        return f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}{mend}"
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None and len(parts) < 2:
        text = _HYDRA_HINT.sub("", " ".join(str(link).split()))
        if text and not any(text in part for part in parts):
            parts.append(text)
        link = link.__cause__
    text = ": ".join(parts) or type(error).__name__
    return text + launcher_mend(text)
