"""
Commands as processes of their own, without the time that Python takes to import what they import.

Such a process is forked from one that has imported the command's modules already. It is a child of the test all the same,
with streams, environment, signals and an end of its own. Importing Locust takes half a second of CPU time, and the tests
start some hundred commands. What decides on how Python itself starts is left to Python: another path of modules, another
locale, a system other than Linux.
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
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket
from typing import Any, Final

import sora_stats_harness
from sora_stats_harness.cli import COMMANDS_ON_LOCUST

OF_PYTHON: Final = ("PYTHON", "LC_", "LANG", "SORA_HARNESS_PURE")
"""How environment variables begin that are read while Python starts or imports."""

FORK, WAITPID, CLOSE, SLEEP = os.fork, os.waitpid, os.close, time.sleep
"""As they are before gevent replaces them."""

PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36

HELPER: Final = b"forks-workers"
"""What a process is called that forks the workers of a command."""

WORKER: Final = "sora_stats_harness.load.worker"
LENGTH_BYTES: Final = 4


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
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_bytes().strip() != HELPER]


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
    ours, theirs = _socket_pair()
    command = [sys.executable, "-m", "tests.forked", kind, str(theirs.fileno())]
    folder = Path(__file__).parents[1]
    process = subprocess.Popen(command, cwd=folder, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return _Parent(ours)


def _socket_pair() -> tuple[socket, socket]:
    """As Python makes them, also where gevent has replaced that."""
    ours, theirs = _socket.socketpair()
    return socket(fileno=ours.detach()), socket(fileno=theirs.detach())


_parents: Final[dict[str, _Parent]] = {}


class _Forked(subprocess.Popen[str]):
    """A process that is forked where that makes no difference."""

    def _execute_child(self, args: Any, *others: Any) -> None:  # Any: as subprocess calls it
        executable, preexec_fn, _, pass_fds, cwd, env, _, _, shell, *pipes, _, _, _, _, _, session, _ = others
        kind = None if executable or preexec_fn or pass_fds or shell else _kind_of_parent(args, env)
        if kind is None:
            super()._execute_child(args, *others)  # type: ignore[misc]  # where subprocess starts it
            return
        if kind not in _parents:
            _parents[kind] = _start_parent(kind)
        streams = [number if end == -1 else end for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        environment = dict(os.environ if env is None else env)
        folder = os.fspath(cwd or Path.cwd())
        blocked = [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
        request = {"command": args, "folder": folder, "environment": environment}
        request |= {"has_session": session, "blocked": blocked}
        try:
            self.pid = _parents[kind].fork(request, streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # the child's ends


class _Watched(_Forked):
    """A worker in whose parent gevent waits for all children, and tells what became of them."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:  # Any: as subprocess.Popen
        super().__init__(command, **options)
        self._watcher = import_module("gevent").get_hub().loop.child(self.pid, ref=False)
        self._watcher.start(lambda: self._handle_exitstatus(self._watcher.rstatus))  # type: ignore[attr-defined]

    def _internal_poll(self, *_: object) -> int | None:
        return self.returncode


def _kind_of_parent(command: Sequence[str], env: Mapping[str, str] | None) -> str | None:
    """Which can fork a command, if any."""
    changed = {} if env is None else {name: value for name, value in {**env}.items() if os.environ.get(name) != value}
    if (
        sys.platform != "linux"
        or list(command[:2]) != [sys.executable, "-m"]
        or any(name.startswith(OF_PYTHON) for name in changed)
    ):
        return None
    module, word = command[2], command[3] if len(command) > 3 else ""
    if module in ("locust", WORKER) or (module == "sora_stats_harness" and word in COMMANDS_ON_LOCUST):
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
    if is_locust:
        import_module("gevent").get_hub().destroy(destroy_loop=True)  # urllib3 makes a socket when it is imported
    gc.collect()
    gc.freeze()  # what no child writes to is never copied


def _serve(connection: socket) -> str | None:
    """Fork whenever asked to. Gives in each child the module that it is to run, and None at the end."""
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
                connection.detach()
                _become(request, streams)
                return str(request["command"][2])
            os.write(writing, child.to_bytes(LENGTH_BYTES, "big"))
            os._exit(0)
        WAITPID(between, 0)
        connection.sendall(os.read(reading, LENGTH_BYTES))
        for descriptor in (*streams, reading, writing):
            CLOSE(descriptor)


def _offer_workers() -> bool:
    """
    Have a process that forks workers for this one, in its session, and start them by it.

    Returns:
        Whether this process is such a worker.
    """
    ours, theirs = _socket_pair()
    if FORK() == 0:
        ours.close()
        _prctl(PR_SET_NAME, HELPER)
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):  # whoever reads what the command prints does not wait for this process
            os.dup2(null, number)
        if _serve(theirs) is not None:
            return True
        os._exit(0)
    theirs.close()
    _parents["locust"] = _Parent(ours)
    started = subprocess.Popen  # gevent's

    def start_worker(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:  # Any: as subprocess.Popen
        if WORKER not in command:
            return started(command, **options)
        return _Watched(command, **options)

    subprocess.Popen = start_worker  # type: ignore[assignment,misc]
    return False


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> None:  # Any: JSON
    """What the kernel and Python do for a new process."""
    _prctl(PR_SET_NAME, b"python")
    if request["has_session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1024)
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


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for who asks
    _import_commands(sys.argv[1])
    module = _serve(socket(fileno=int(sys.argv[2])))
    asks_server = any(
        word.startswith("http://") for word in sys.argv
    )  # without, gevent waits for a simulator, and all others
    if module == "sora_stats_harness" and "--processes" in sys.argv and asks_server and _offer_workers():
        module = WORKER
        del sys.modules[WORKER]  # runpy warns of a module that is there already
    if module is not None:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
