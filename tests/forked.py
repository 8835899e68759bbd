"""
Commands as processes of their own, without the time that Python takes to import what they import.

Such a process is forked from one that has imported the command's modules already. It is a child of the test all the same,
with streams, environment, signals and an end of its own. Importing Locust takes half a second of CPU time, and the tests
start some hundred commands. What such a process starts by itself, a worker or a simulator, is forked for it by a copy of
itself, made before it began. What decides on how Python itself starts is left to Python: another path of modules,
another locale, a system other than Linux.
"""

from __future__ import annotations

import _socket
import array
import atexit
import ctypes
import gc
import json
import os
import pkgutil
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket, socketpair
from typing import Any, Final

import sora_stats_harness
from sora_stats_harness.api.edition import load_edition, shipped_edition_names
from sora_stats_harness.cli import COMMANDS_ON_LOCUST
from sora_stats_harness.simulator.world import SimulatedWorld

OF_PYTHON: Final = ("PYTHON", "LC_", "LANG", "SORA_HARNESS_PURE")
"""How environment variables begin that are read while Python starts or imports."""

CUSTOMIZED_BY: Final = "SORA_TESTS_CUSTOMIZED_BY"
"""The environment variable with the file that a process runs first; on its PYTHONPATH, Python runs it by itself."""

FORK, WAITPID, CLOSE, SLEEP = os.fork, os.waitpid, os.close, time.sleep
"""As they are before gevent replaces them."""

PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36

NAME_OF_COPY: Final = "copy"
"""What the system calls a process that only forks others."""

LENGTH_BYTES: Final = 4

IMPORTED_LATE: Final = ("encodings.utf_8_sig", "importlib.resources.readers", "uvicorn.protocols.http.httptools_impl")
"""What commands import when they need it."""

PROGRAM: Final = Path(sys.executable).parent / "sora-harness"
"""The one of this environment."""


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:  # Any: those of subprocess.Popen
    """A process of `[sys.executable, "-m", module, …]`, as `subprocess.Popen` starts one."""
    return _Forked(command, text=True, **options)


def run(
    command: Sequence[str], *, text: str | None = None, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:  # Any: the same
    """The same until it ends, with `text` on stdin; gives what it printed."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams |= {} if text is None else {"stdin": subprocess.PIPE}
    with start(command, **streams | options) as process:
        try:
            out, said = process.communicate(text, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, said)


def workers(process: subprocess.Popen[Any]) -> list[int]:  # Any: str or bytes
    """The processes that a command has started, the first one at the front."""
    started = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in started if Path(f"/proc/{pid}/comm").read_text().strip() != NAME_OF_COPY]


class _Parent:
    """A process that forks others, at the other end of a socket."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def fork(self, request: Mapping[str, object], streams: Sequence[int]) -> int:
        """The pid of a new child of the process that calls."""
        body = json.dumps(request).encode()
        with self._lock:
            _adopt_orphans(True)
            try:
                rights = (SOL_SOCKET, SCM_RIGHTS, array.array("i", streams))
                self._connection.sendmsg([len(body).to_bytes(LENGTH_BYTES, "big")], [rights])
                self._connection.sendall(body)
                return int.from_bytes(_read(self._connection, LENGTH_BYTES), "big")
            finally:
                _adopt_orphans(False)


def _start_parent(kind: str) -> _Parent:
    """One that lasts as long as this process."""
    ours, theirs = socketpair()
    command = [sys.executable, "-m", "tests.forked", kind, str(theirs.fileno())]
    folder = Path(__file__).parents[1]
    process = subprocess.Popen(command, cwd=folder, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return _Parent(ours)


_parents: Final[dict[str, _Parent]] = {}

_is_command = False
"""Whether this process was forked itself."""


class _Forked(subprocess.Popen[str]):
    """A process that is forked where that makes no difference."""

    def _execute_child(self, args: Any, *others: Any) -> None:  # Any: as subprocess calls it
        parent = _parent_for(args, *others)
        if parent is None:
            super()._execute_child(args, *others)  # type: ignore[misc]  # where subprocess starts it
            return
        try:
            self.pid = _fork_by(parent, args, *others)
            self._child_created = True
        finally:
            self._close_pipe_fds(*others[PIPES])  # type: ignore[attr-defined]  # the child's ends


def _forked_by_gevent() -> type[Any]:
    """The same, for a process in which gevent has replaced `subprocess.Popen`."""
    from gevent.os import fork_and_watch
    from gevent.subprocess import Popen

    class Forked(Popen):
        def _execute_child(self, args: Any, *others: Any) -> None:  # Any: as gevent calls it
            parent = _parent_for(args, *others)
            if parent is None:
                super()._execute_child(args, *others)
                return
            self._loop.install_sigchld()
            self.pid = pid = _fork_by(parent, args, *others)
            fork_and_watch(self._on_child, self._loop, True, lambda: pid)
            self._child_created = self._closed_child_pipe_fds = True
            pipes = others[PIPES]
            ends = {pipes[own] for own, other in ((0, 1), (3, 2), (5, 4)) if -1 not in (pipes[own], pipes[other])}
            for end in (ends | {getattr(self, "_devnull", -1)}) - {-1}:
                CLOSE(end)

    return Forked


PIPES: Final = slice(-13, -7)
"""Of the arguments of `_execute_child`, which are more in gevent: each stream's end of the child's and of its parent's."""


def _parent_for(args: Any, *others: Any) -> _Parent | None:  # Any: as subprocess calls it
    """Who forks a command, where that makes no difference."""
    executable, preexec_fn, _, pass_fds, _, env = others[:6]
    is_shell = others[PIPES.start - 1]
    kind = None if executable or preexec_fn or pass_fds or is_shell else _kind_of_parent(_as_module(args, env), env)
    if kind is not None and kind not in _parents and not _is_command:
        _parents[kind] = _start_parent(kind)
    return None if kind is None else _parents.get(kind)


def _fork_by(parent: _Parent, args: Any, *others: Any) -> int:  # Any: the same
    """Its pid."""
    cwd, env, pipes, has_session = others[4], others[5], others[PIPES], others[-2]
    streams = [number if end == -1 else end for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
    environment = dict(os.environ if env is None else env)
    folder = os.fspath(cwd or Path.cwd())
    blocked = [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
    request = {"command": _as_module(args, env), "folder": folder, "environment": environment}
    request |= {"has_session": has_session, "blocked": blocked}
    return parent.fork(request, streams)


def _as_module(command: Sequence[str], env: Mapping[str, str] | None) -> Sequence[str]:
    """A command by its name, as the command of Python that it is here."""
    if command[0] != "sora-harness":
        return command
    found = shutil.which("sora-harness", path=(os.environ if env is None else env).get("PATH"))
    return [sys.executable, "-m", "sora_stats_harness", *command[1:]] if found == str(PROGRAM) else command


def _kind_of_parent(command: Sequence[str], env: Mapping[str, str] | None) -> str | None:
    """Which can fork a command, if any."""
    changed = {} if env is None else {name: value for name, value in {**env}.items() if os.environ.get(name) != value}
    if (
        sys.platform != "linux"
        or list(command[:2]) != [sys.executable, "-m"]
        or any(
            name.startswith(OF_PYTHON) for name in changed.keys() - ({"PYTHONPATH"} if CUSTOMIZED_BY in changed else ())
        )
    ):
        return None
    module, word = command[2], command[3] if len(command) > 3 else ""
    is_on_locust = module == "sora_stats_harness" and word in COMMANDS_ON_LOCUST
    if is_on_locust or module in ("locust", "sora_stats_harness.load.worker"):
        return "locust"
    return "plain" if module == "sora_stats_harness" else None


def _adopt_orphans(are_adopted: bool) -> None:
    """Whether processes whose parent ends become children of this one."""
    _prctl(PR_SET_CHILD_SUBREAPER, int(are_adopted))


def _prctl(option: int, value: int | bytes) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _read(connection: socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (more := connection.recv(length - len(data))):
            raise EOFError("the process that forks others has ended")
        data += more
    return data


def _import_commands(kind: str) -> None:
    """Import whatever commands of a kind do."""
    is_locust = kind == "locust"
    if is_locust:
        import_module("locust.main")
    left_out = {"__main__", "pytest_plugin", "testing"} | (set() if is_locust else {"load"})
    for found in pkgutil.walk_packages(sora_stats_harness.__path__, "sora_stats_harness."):
        if found.name.split(".")[1] not in left_out:
            import_module(found.name)
    for name in IMPORTED_LATE:
        import_module(name)
    import_module("sora_stats_harness.reports.charts")._import_pygal()
    judge = import_module("sora_stats_harness.judge.pipeline").Judge
    for edition in shipped_edition_names():
        judge(load_edition(edition))
    SimulatedWorld(load_edition())  # how each of its connections counts is cached, as are editions
    if is_locust:
        import_module("gevent").get_hub().destroy(destroy_loop=True)  # urllib3 makes a socket when it is imported
    gc.collect()
    gc.freeze()  # what no child writes to is never copied


def _serve(connection: socket, kind: str | None) -> str | None:
    """
    Fork whenever asked to.

    Args:
        connection: To whoever asks.
        kind: What a child can ask for in turn; None if it cannot.

    Returns:
        In each child the module that it is to run; None at the end.
    """
    while True:
        head, ancillary, _, _ = connection.recvmsg(LENGTH_BYTES, CMSG_SPACE(12))
        if not head:
            return None
        streams = array.array("i", ancillary[0][2])
        request = json.loads(_read(connection, int.from_bytes(head, "big")))
        reading, writing = os.pipe()
        if (between := FORK()) == 0:
            own = os.getpid()
            if (child := FORK()) == 0:
                while os.getppid() == own:
                    SLEEP(0.001)  # until it is a child of whoever asked
                ours, theirs = (socket(fileno=end.detach()) for end in _socket.socketpair())  # gevent's own is another
                if request["has_session"]:
                    os.setsid()
                if kind is not None and FORK() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is in the group of the process
                    _prctl(PR_SET_NAME, NAME_OF_COPY.encode())
                    for descriptor in (ours.detach(), connection.detach(), reading, writing, *streams):
                        CLOSE(descriptor)
                    if (module := _serve(theirs, None)) is None:
                        os._exit(0)
                    return module
                connection.detach()
                theirs.close()
                _become(request, streams, ours)
                if kind is not None:
                    _ask_copy(kind, ours)
                return str(request["command"][2])
            os.write(writing, child.to_bytes(LENGTH_BYTES, "big"))
            os._exit(0)
        WAITPID(between, 0)
        connection.sendall(os.read(reading, LENGTH_BYTES))
        for descriptor in (*streams, reading, writing):
            CLOSE(descriptor)


def _ask_copy(kind: str, copy: socket) -> None:
    """Fork by the copy of this process whatever it starts and the copy can be."""
    global _is_command
    _is_command = True
    _parents[kind] = _Parent(copy)
    subprocess.Popen = _forked_by_gevent() if kind == "locust" else _Forked  # type: ignore[assignment,misc]


def _become(request: Mapping[str, Any], streams: Sequence[int], kept: socket) -> None:  # Any: JSON
    """What the kernel and Python do for a new process."""
    _prctl(PR_SET_NAME, Path(sys.executable).name.encode())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, kept.fileno())
    os.closerange(kept.fileno() + 1, 1024)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    encoding = sys.stdout.encoding
    streams_of_python = {
        "stdin": open(0, encoding=encoding),  # noqa: SIM115  # open as long as the process is there
        "stdout": open(1, "w", encoding=encoding),  # noqa: SIM115
        "stderr": open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1),  # noqa: SIM115
    }
    for name, each in streams_of_python.items():
        setattr(sys, name, each)
        setattr(sys, f"__{name}__", each)
    sys.argv, sys.orig_argv = request["command"][2:], request["command"]
    sys.path[0] = request["folder"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])


def _run(module: str) -> None:
    """Run a module as `python -m` does, and leave out of its end that Python takes everything apart."""
    code: object = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        code = ending.code
    if module == "locust" or (code is not None and not isinstance(code, int)):
        raise SystemExit(code)  # what a worker of Locust's says last is sent when its socket is taken apart
    threading._shutdown()  # type: ignore[attr-defined]  # as Python calls it
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:  # what a command has made of them
                stream.flush()
    except (OSError, ValueError):
        raise SystemExit(code) from None  # Python says what of its streams it could not write
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for who asks
    _import_commands(sys.argv[1])
    module = _serve(socket(fileno=int(sys.argv[2])), sys.argv[1])
    if module is not None:
        if not hasattr(sys.modules[module], "__path__"):
            del sys.modules[module]  # it is run, not imported
        if CUSTOMIZED_BY in os.environ:
            runpy.run_path(os.environ[CUSTOMIZED_BY])
        _run(module)
