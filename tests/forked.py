"""
Commands as processes of their own, without the time that Python takes to import what they import.

Such a process is forked from one that has imported the command's modules already. It is a child of the test all the same,
with streams, environment, signals and an end of its own. Importing Locust takes half a second of CPU time, and the tests
start some hundred commands. What decides on how Python itself starts is left to Python: another path of modules, another
locale, a system other than Linux.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import sora_stats_harness
from sora_stats_harness.cli import COMMANDS_ON_LOCUST

OF_PYTHON: Final = ("PYTHON", "LC_", "LANG", "SORA_HARNESS_PURE")
"""How environment variables begin that are read while Python starts or imports."""

PR_SET_CHILD_SUBREAPER: Final = 36
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


class _Parent:
    """A process that forks others."""

    def __init__(self, kind: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.forked", kind, str(theirs.fileno())]
        folder = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=folder, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        atexit.register(self._close)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()

    def fork(self, request: Mapping[str, object], streams: Sequence[int]) -> int:
        """The pid of a new child of the process that calls."""
        body = json.dumps(request).encode()
        with self._lock:
            _adopt_orphans(True)
            try:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))
                self._socket.sendmsg([len(body).to_bytes(LENGTH_BYTES, "big")], [rights])
                self._socket.sendall(body)
                return int.from_bytes(_read(self._socket, LENGTH_BYTES), "big")
            finally:
                _adopt_orphans(False)


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
            _parents[kind] = _Parent(kind)
        streams = [number if end == -1 else end for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        environment = dict(os.environ if env is None else env)
        folder = os.fspath(cwd or Path.cwd())
        request = {"command": args, "folder": folder, "environment": environment, "has_session": session}
        try:
            self.pid = _parents[kind].fork(request, streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # the child's ends


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
    if module in ("locust", "sora_stats_harness.load.worker") or (
        module == "sora_stats_harness" and word in COMMANDS_ON_LOCUST
    ):
        return "locust"
    return "plain" if module == "sora_stats_harness" else None


def _adopt_orphans(are_adopted: bool) -> None:
    """Whether processes whose parent ends become children of this one."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(are_adopted), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (more := connection.recv(length - len(data))):
            raise EOFError("the process that forks others has ended")
        data += more
    return data


def _serve(kind: str, connection: socket.socket) -> str | None:
    """Fork whenever asked to. Gives in each child the module that it is to run, and None at the end."""
    fork, waitpid, close = os.fork, os.waitpid, os.close  # before gevent replaces them
    is_locust = kind == "locust"
    if is_locust:
        import_module("locust.main")
    left_out = {"__main__", "pytest_plugin", "testing"} | (set() if is_locust else {"load"})
    for found in pkgutil.walk_packages(sora_stats_harness.__path__, "sora_stats_harness."):
        if found.name.split(".")[1] not in left_out:
            import_module(found.name)
    if is_locust:
        import gevent

        gevent.get_hub().destroy(destroy_loop=True)  # urllib3 makes a socket when it is imported
    gc.collect()
    gc.freeze()  # what no child writes to is never copied
    while True:
        head, ancillary, _, _ = connection.recvmsg(LENGTH_BYTES, socket.CMSG_SPACE(12))
        if not head:
            return None
        streams = array.array("i", ancillary[0][2])
        request = json.loads(_read(connection, int.from_bytes(head, "big")))
        reading, writing = os.pipe()
        if (between := fork()) == 0:
            if (child := fork()) == 0:
                connection.detach()
                _become(request, streams)
                return str(request["command"][2])
            os.write(writing, child.to_bytes(LENGTH_BYTES, "big"))
            os._exit(0)
        waitpid(between, 0)  # now it is a child of whoever asked
        connection.sendall(os.read(reading, LENGTH_BYTES))
        for each in (*streams, reading, writing):
            close(each)


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> None:  # Any: JSON
    """What the kernel and Python do for a new process."""
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


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for who asks
    module = _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
    if module is not None:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
