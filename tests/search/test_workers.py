"""Several worker processes on one storage: shared, killed, restarted; over a journal, gRPC and PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from analytic import Formula, Scored
from command import free_port
from worker_process import OPTIONS, STRATEGY, shared_problem, work

from search.strategies.contract import load_strategy
from search.study.candidate import Candidate
from search.study.storage import open_storage
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search
from supernet import Arch, InputError


@pytest.fixture(scope="module")
def alone() -> list[Candidate]:
    """The same search by one worker."""
    problem = shared_problem()
    study = SearchStudy(open_storage("memory"), "shared", problem, {"a": 1})
    strategy = load_strategy("evolution", problem, STRATEGY)
    return search(study, problem, strategy, Formula(problem.space), OPTIONS)


# Forked from a server that has everything imported: a worker starts in a moment, and dies alone.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["worker_process", "search.strategies.evolution", "sqlalchemy", "grpc"])


def start(where: str, log: Path, delay: float = 0.02, lease: float = 30.0) -> BaseProcess:
    worker = PROCESSES.Process(target=work, args=(where, str(log), delay, lease))
    worker.start()
    return worker


def end(workers: list[BaseProcess]) -> None:
    for worker in workers:
        worker.join(timeout=300)
        assert worker.exitcode == 0


def kill(workers: list[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
        assert worker.exitcode == -signal.SIGKILL


def stored(where: str) -> list[Candidate]:
    return SearchStudy(open_storage(where), "shared", shared_problem(), {"a": 1}, where=where).candidates()


def told(candidates: list[Candidate]) -> list[tuple[object, ...]]:
    return [(c.codes, c.origin, c.round, c.index, c.ap, dict(c.costs)) for c in candidates]


def calls(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def wait_for(log: Path, count: int) -> None:
    limit = time.monotonic() + 200
    while len(calls(log)) < count:
        assert time.monotonic() < limit, "the workers do not get on"
        time.sleep(0.01)


def share(where: str, log: Path, alone: list[Candidate]) -> None:
    """Three workers: nothing twice, the result of one."""
    end([start(where, log) for _ in range(3)])
    assert told(stored(where)) == told(alone)
    assert len(calls(log)) == len(set(calls(log))) == len(alone)


def kill_one(where: str, log: Path, alone: list[Candidate]) -> None:
    """One of two workers dies in the middle of an evaluation; the other takes that candidate too."""
    victim = start(where, log, delay=600.0)
    wait_for(log, 1)
    other = start(where, log, delay=0.01)
    wait_for(log, 3)
    kill([victim])
    end([other])
    assert told(stored(where)) == told(alone)
    # The victim's candidate was begun twice, everything else once.
    assert len(calls(log)) == len(alone) + 1
    assert len(set(calls(log))) == len(alone)
    assert sum(c.lease is not None and c.lease.attempt == 2 for c in stored(where)) == 1


def kill_all(where: str, log: Path, alone: list[Candidate]) -> None:
    """All workers die; started again, the search ends as if nothing had happened."""
    workers = [start(where, log, delay=0.15, lease=10.0) for _ in range(2)]
    wait_for(log, 4)
    kill(workers)
    end([start(where, log, lease=10.0) for _ in range(2)])
    assert told(stored(where)) == told(alone)
    assert len(calls(log)) <= len(alone) + 2


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "study.journal")


def test_three_workers_on_a_journal(journal: str, tmp_path: Path, alone: list[Candidate]) -> None:
    share(journal, tmp_path / "log", alone)


def test_a_killed_workers_candidate_is_taken_over(
    journal: str, tmp_path: Path, alone: list[Candidate]
) -> None:
    kill_one(journal, tmp_path / "log", alone)


def test_all_killed_and_restarted(journal: str, tmp_path: Path, alone: list[Candidate]) -> None:
    kill_all(journal, tmp_path / "log", alone)


def test_a_worker_on_an_unknown_host_is_believed_until_its_lease_ends(
    journal: str, tmp_path: Path, alone: list[Candidate]
) -> None:
    problem = shared_problem()
    options = StudyOptions(lease=1.0)
    study = SearchStudy(open_storage(journal), "shared", problem, {"a": 1}, options)
    object.__setattr__(study.worker, "host", "elsewhere")
    with study.planning(0) as mine:
        assert mine
        from search.strategies.contract import History
        from search.strategies.plan import next_plan

        strategy = load_strategy("evolution", problem, STRATEGY)
        study.add_plan(0, next_plan(problem, strategy, OPTIONS, History.empty(problem), []))
        study.enqueue(study.plans(), [])
    taken = study.claim()
    assert taken is not None
    log = tmp_path / "log"
    end([start(journal, log)])
    assert told(stored(journal)) == told(alone)
    assert [c.lease.attempt for c in stored(journal) if c.lease] == [2] + [1] * (len(alone) - 1)
    # The silent worker comes back too late: what is recorded stays.
    assert not study.finish(taken, {"AP": 0.0})
    assert told(stored(journal)) == told(alone)


class Proxy:
    """A gRPC proxy of a journal, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"grpc://127.0.0.1:{port}"
        code = (
            "from optuna.storages import run_grpc_proxy_server as serve;"
            "from search.study.storage import open_storage;"
            f"serve(open_storage('{folder}/served.journal'), host='127.0.0.1', port={port})"
        )
        self._command = [sys.executable, "-W", "ignore", "-c", code]
        self.start()

    def start(self) -> None:
        self._server = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Proxy]:
    pytest.importorskip("grpc")
    server = Proxy(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def proxy(server: Proxy) -> str:
    return server.address


def test_workers_through_a_grpc_proxy(proxy: str, tmp_path: Path, alone: list[Candidate]) -> None:
    share(proxy, tmp_path / "log", alone)


def test_a_killed_worker_behind_a_grpc_proxy(proxy: str, tmp_path: Path, alone: list[Candidate]) -> None:
    kill_one(proxy, tmp_path / "log", alone)


def test_all_killed_behind_a_grpc_proxy(proxy: str, tmp_path: Path, alone: list[Candidate]) -> None:
    kill_all(proxy, tmp_path / "log", alone)


def test_a_storage_that_dies_in_the_middle(server: Proxy, alone: list[Candidate]) -> None:
    problem = shared_problem()
    strategy = load_strategy("evolution", problem, STRATEGY)
    formula = Formula(problem.space)
    options = StudyOptions(patience=0.5, lease=2.0, poll=0.02)

    def evaluate(arch: Arch) -> Scored:
        if formula.calls == 3:
            server.kill()
        return formula(arch)

    def go_on() -> list[Candidate]:
        storage = open_storage(server.address)
        study = SearchStudy(storage, "shared", problem, {"a": 1}, options, server.address)
        return search(study, problem, strategy, evaluate, OPTIONS)

    with pytest.raises(InputError, match=r"does not answer .* the same command goes on once it is back"):
        go_on()
    server.start()
    assert told(go_on()) == told(alone)
    # The evaluation that could not be recorded was done again.
    assert formula.calls == len(alone) + 1


def postgres_program(name: str) -> str | None:
    """A PostgreSQL program on the path, or where Debian puts it."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or next((str(f / name) for f in folders if (f / name).exists()), None)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of our own on the loopback interface; {} stands for the database."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver psycopg is not installed")
    initdb, server = postgres_program("initdb"), postgres_program("postgres")
    if not initdb or not server:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    folder, port = tmp_path_factory.mktemp("pg"), free_port()
    # PostgreSQL refuses to run as root.
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if user:
        for part in [folder, *list(folder.parents)[:3]]:
            part.chmod(part.stat().st_mode | 0o755)
        shutil.chown(folder, 65534, 65534)
    data = folder / "data"
    made = subprocess.run(
        [*user, initdb, "-D", str(data), "-U", "test", "-A", "trust", "--no-sync"],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"PostgreSQL's initdb fails here: {made.stderr.strip().splitlines()[-1]}")
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    process = subprocess.Popen(
        [*user, server, "-D", str(data), *options], cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        address = f"postgresql+psycopg://test@127.0.0.1:{port}"
        limit = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < limit, "PostgreSQL does not start"
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@pytest.fixture
def database(postgres: str, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    import sqlalchemy

    name = f"d{abs(hash(request.node.name)) % 10**8}"
    engine = sqlalchemy.create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    limit = time.monotonic() + 30
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
            break
        except sqlalchemy.exc.OperationalError:
            assert time.monotonic() < limit
            time.sleep(0.1)
    engine.dispose()
    return f"{postgres}/{name}"


def test_workers_on_postgresql(database: str, tmp_path: Path, alone: list[Candidate]) -> None:
    share(database, tmp_path / "log", alone)


def test_a_killed_worker_on_postgresql(database: str, tmp_path: Path, alone: list[Candidate]) -> None:
    kill_one(database, tmp_path / "log", alone)


def test_all_killed_on_postgresql(database: str, tmp_path: Path, alone: list[Candidate]) -> None:
    kill_all(database, tmp_path / "log", alone)
