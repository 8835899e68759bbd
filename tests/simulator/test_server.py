"""The simulator as a server: in this process, in one of its own, and as a command."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from sora_stats_harness.api.errors import SimulatorError, UsageError
from sora_stats_harness.cli import main
from sora_stats_harness.cli import simulate as simulate_module
from sora_stats_harness.simulator import server
from sora_stats_harness.simulator.asgi_app import MAX_LOGGED_BODY_BYTES, Clock, ScheduledDisturbances
from sora_stats_harness.simulator.fault_interface import Fault, ReceivedRequest, SimulatedResponse
from sora_stats_harness.simulator.server import Simulator, start_simulator_process
from tests import forked

from .raw import ALL, CLIENT, ask, dial, everything, listing, one, request

Connection = dict[str, Any]  # Any: whatever JSON can hold

COMMAND = [sys.executable, "-m", "sora_stats_harness", "simulate"]


def ids(connections: list[Connection]) -> list[str]:
    return [connection["connection_id"] for connection in connections]


def stamp_s(connection: Connection) -> float:
    return datetime.fromisoformat(connection["timestamp"]).timestamp()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what is to come."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


# In this process.


def test_it_listens_on_loopback_while_the_context_lasts() -> None:
    """On a free port, and no longer afterwards; no thread is left behind."""
    before = threading.active_count()
    with Simulator(connections=2) as simulator:
        url = simulator.url
        assert url.startswith("http://127.0.0.1:")
        assert simulator.urls == [url]
        assert len(listing(url)) == 2
    with pytest.raises(ConnectionRefusedError):
        dial(url)
    assert threading.active_count() == before


def test_it_ends_although_connections_are_open() -> None:
    """One idle, one with half of a request."""
    with Simulator(connections=1) as simulator:
        idle, half = dial(simulator.url), dial(simulator.url)
        half.sendall(request(ALL)[:20])
        listing(simulator.url)
    for connection in (idle, half):
        with connection:
            assert everything(connection) == b""


@pytest.mark.parametrize("faults", [(), ("cut",)], ids=["plain", "behind a relay"])
def test_a_port_in_use_is_wrong_usage(faults: tuple[str, ...]) -> None:
    """One line that names the port, whoever was to listen there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        complaint = f"^cannot listen on 127.0.0.1 port {port}: Address already in use$"
        with pytest.raises(UsageError, match=complaint), Simulator(port=port, faults=faults):
            pass


def test_a_body_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    """The two are written one after the other, which costs 40 ms where TCP_NODELAY is not set."""
    with Simulator(connections=1) as simulator, dial(simulator.url) as connection:
        connection.sendall(request(ALL, close=False))
        assert connection.recv(1 << 16)
        (protocol,) = simulator._servers[0].server_state.connections
        accepted = protocol.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_what_cannot_be_is_wrong_usage() -> None:
    """Before anything listens."""
    with pytest.raises(UsageError, match="there is no fault 'fals'"):
        Simulator(faults=["fals"])
    with pytest.raises(UsageError, match="at least one node"):
        Simulator(nodes=0)
    with pytest.raises(UsageError, match="is not an origin"):
        Simulator(cors="a\r\nb")


def test_the_same_seed_is_the_same_world() -> None:
    """Ids and all; another seed is another one."""

    def world(seed: int) -> list[str]:
        with Simulator(seed=seed, connections=5, churn=False) as simulator:
            return ids(listing(simulator.url))

    assert world(4) == world(4)
    assert not set(world(4)) & set(world(5))


def test_local_is_the_node_asked_or_all() -> None:
    """Each node has a URL of its own; the default is local."""
    with Simulator(connections=7, nodes=3, churn=False) as simulator:
        each = [ids(listing(url)) for url in simulator.urls]
        assert len(set(simulator.urls)) == 3
        assert sorted(map(len, each)) == [2, 2, 3]
        for url, own in zip(simulator.urls, each, strict=True):
            assert ids(listing(url, b'{"local":true}')) == own
            assert sorted(ids(listing(url, b'{"local":false}'))) == sorted(itertools.chain.from_iterable(each))


def test_a_connection_is_found_on_its_own_node() -> None:
    """By GetStatsConnection and by GetStatsClient; another node refuses."""
    with Simulator(connections=4, nodes=2, churn=False) as simulator:
        first, second = simulator.urls
        some = listing(first)[0]
        channel_id, connection_id = some["channel_id"], some["connection_id"]
        assert one(first, channel_id, connection_id).json()["connection_id"] == connection_id
        assert one(second, channel_id, connection_id).status == 400
        body = json.dumps({"channel_id": channel_id, "client_id": some["client_id"]}).encode()
        assert connection_id in ids(ask(first, request(CLIENT, body)).json())
        elsewhere = ask(second, request(CLIENT, body))
        assert elsewhere.status == 400 or connection_id not in ids(elsewhere.json())


def test_one_client_can_hold_several_connections() -> None:
    """GetStatsClient gives them all, and nobody else's."""
    with Simulator(churn=False) as simulator:
        connections = listing(simulator.url)
        owners = [(each["channel_id"], each["client_id"]) for each in connections]
        owner = next(each for each in owners if owners.count(each) > 1)
        body = json.dumps(dict(zip(("channel_id", "client_id"), owner, strict=True))).encode()
        found = ask(simulator.url, request(CLIENT, body)).json()
        assert ids(found) == [
            each["connection_id"] for each in connections if (each["channel_id"], each["client_id"]) == owner
        ]


def test_counters_grow_until_frozen_and_move_when_told() -> None:
    """Frozen, two responses are equal to the byte; an advance moves counters and stamp by the same time."""
    with Simulator(connections=10, churn=False) as simulator:
        simulator.freeze()
        before = ask(simulator.url, request(ALL))
        assert ask(simulator.url, request(ALL)).body == before.body
        simulator.advance(10)
        after = listing(simulator.url)
        pairs = list(zip(before.json(), after, strict=True))
        for old, new in pairs:
            assert stamp_s(new) - stamp_s(old) == pytest.approx(10, abs=1e-5)
            assert new["rtp"]["total_received"] >= old["rtp"]["total_received"]
        assert any(new["rtp"]["total_received"] > old["rtp"]["total_received"] for old, new in pairs)


def test_a_value_can_be_held() -> None:
    """From then on every response has it; what cannot be set is refused."""
    with Simulator(connections=2, churn=False) as simulator:
        some = listing(simulator.url)[0]
        simulator.set_value(some["connection_id"], "/rtp/total_received", 7)
        simulator.set_value(some["connection_id"], "/client_id", "me")
        told = one(simulator.url, some["channel_id"], some["connection_id"]).json()
        assert (told["rtp"]["total_received"], told["client_id"]) == (7, "me")
        with pytest.raises(UsageError, match="no connection 'nobody'"):
            simulator.set_value("nobody", "/rtp/total_received", 7)
        with pytest.raises(UsageError, match="no group /rpt"):
            simulator.set_value(some["connection_id"], "/rpt/total_received", 7)


def test_a_restart_gives_other_ids_and_the_clock_goes_on() -> None:
    """The same clients under new connection ids; stamps never go back."""
    with Simulator(connections=10, churn=False) as simulator:
        before = listing(simulator.url)
        simulator.restart()
        after = listing(simulator.url)
        assert not set(ids(before)) & set(ids(after))
        assert {each["client_id"] for each in before} & {each["client_id"] for each in after}
        assert 0 <= stamp_s(after[0]) - stamp_s(before[0]) < 20


def test_the_clock_can_be_set() -> None:
    """As NTP does; counters do not mind."""
    now_ns = [time.monotonic_ns()]
    clock = Clock(monotonic_ns=lambda: now_ns[0])
    step = ScheduledDisturbances(clock_step_s=-0.2, clock_step_after_s=1)
    with Simulator(connections=3, churn=False, upsets=step, clock=clock) as simulator:
        simulator.freeze()
        before = listing(simulator.url)[0]
        now_ns[0] += 2_000_000_000
        after = listing(simulator.url)[0]
        assert stamp_s(after) - stamp_s(before) == pytest.approx(-0.2, abs=1e-5)
        assert after["rtp"] == before["rtp"]


def test_the_stamp_is_the_time_of_day() -> None:
    """UTC, with six digits and a Z."""
    with Simulator(connections=1, churn=False) as simulator:
        before_s = time.time()
        some = listing(simulator.url)[0]
        assert before_s - 0.01 <= stamp_s(some) <= time.time() + 0.01
        assert len(some["timestamp"]) == 27
        assert some["timestamp"].endswith("Z")


def test_requests_are_remembered() -> None:
    """In order, with what they asked for; of a large body only the beginning."""
    with Simulator(connections=2, nodes=2, churn=False) as simulator:
        first, second = simulator.urls
        some = listing(first, b'{"local":false}')[0]
        one(second, "a", "b")
        ask(first, request("Nothing", b"x" * (MAX_LOGGED_BODY_BYTES + 1), headers=("X-Mine: 1",)))
        seen = simulator.requests
    assert [(each.node, each.operation) for each in seen] == [
        (0, "GetStatsAllConnections"),
        (1, "GetStatsConnection"),
        (0, None),
    ]
    assert seen[0].arguments == {"local": False}
    assert seen[1].arguments == {"channel_id": "a", "connection_id": "b"}
    assert ("x-mine", "1") in seen[2].headers
    assert len(seen[2].body) == MAX_LOGGED_BODY_BYTES
    assert some["connection_id"]


def test_other_operations_can_be_given_an_response() -> None:
    """For tests of whoever uses more of the API than statistics."""
    with Simulator(connections=1) as simulator:
        target = "Sora_20151104.ListSomething"
        assert ask(simulator.url, request(target, b"{}")).status == 400
        simulator.set_canned_response(
            target, SimulatedResponse(status=202, headers=(("content-type", "application/json"),), body=b'["a"]')
        )
        told = ask(simulator.url, request(target, b"{}"))
        assert (told.status, told.json()) == (202, ["a"])


def test_a_fault_that_crashes_is_a_handler_that_crashes() -> None:
    """500, and the next request gets a response again."""

    def crash_once(call: ReceivedRequest, samples: Any) -> Any:
        return samples if call.number else 1 / 0

    with Simulator(connections=1, faults=[Fault(on_samples=crash_once)]) as simulator:
        assert ask(simulator.url, request(ALL)).status == 500
        assert ask(simulator.url, request(ALL)).status == 200


# In a process of its own.


def test_spawned_it_responses_and_ends_with_the_context() -> None:
    """Several nodes, a world of its own, and options of the command."""
    with start_simulator_process(seed=4, connections=4, nodes=2, options={"cors": "none"}) as spawned:
        assert len(spawned.urls) == 2
        assert spawned.url == spawned.urls[0]
        assert len(listing(spawned.url, b'{"local":false}')) == 4
        assert not ask(spawned.url, request(ALL)).header("access-control-allow-origin")
    with pytest.raises(ConnectionRefusedError):
        dial(spawned.url)
    with pytest.raises(ProcessLookupError):
        os.kill(spawned.pid, 0)


def test_spawned_it_has_the_same_world_as_here() -> None:
    """Seeds hold across processes."""
    with start_simulator_process(seed=4, connections=4) as spawned, Simulator(seed=4, connections=4) as here:
        assert ids(listing(spawned.url)) == ids(listing(here.url))


def test_spawned_it_takes_options_without_a_value() -> None:
    """None stands for those; an unknown client is then an empty array."""
    with start_simulator_process(connections=1, options={"empty-for-unknown": None, "no-churn": None}) as spawned:
        told = ask(spawned.url, request(CLIENT, b'{"channel_id":"a","client_id":"b"}'))
        assert (told.status, told.json()) == (200, [])


def test_spawned_its_clock_can_be_set_back() -> None:
    """As NTP does where a clock is ahead."""
    with start_simulator_process(connections=1, options={"clock-step": "-1h", "no-churn": None}) as spawned:
        begun = stamp_s(listing(spawned.url)[0])
        until(lambda: stamp_s(listing(spawned.url)[0]) < begun - 3500)


def test_spawned_with_a_bad_option_it_says_why() -> None:
    """The child's own line, as the same error."""
    complaint = r"^there is no fault 'counter-fals' \(did you mean 'counter-falls'\?\)$"
    with pytest.raises(UsageError, match=complaint), start_simulator_process(faults=["counter-fals"]):
        pass


def test_a_child_that_never_listens_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a time, and ended."""
    monkeypatch.setattr(server, "START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(server.sys, "executable", "/bin/sleep")  # type: ignore[attr-defined]
    real = subprocess.Popen

    def sleeping(command: list[str], **options: Any) -> Any:
        return real(["/bin/sleep", "60"], **options)

    monkeypatch.setattr(server.subprocess, "Popen", sleeping)  # type: ignore[attr-defined]
    with pytest.raises(SimulatorError, match=r"^the simulator did not start: [^\n]+$"), start_simulator_process():
        pass


def test_it_ends_with_its_parent() -> None:
    """However that ends: the pipe between them is closed then."""
    code = (
        "import os, sys\n"
        "from sora_stats_harness.simulator.server import start_simulator_process\n"
        "with start_simulator_process(connections=1) as spawned:\n"
        "    print(spawned.url, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    told = forked.run([sys.executable, "-c", code])
    assert told.returncode == -signal.SIGKILL
    url = told.stdout.strip()

    def gone() -> bool:
        try:
            dial(url).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it is just going
            pass
        return False

    until(gone)


# The command.


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, and the URLs that it prints (one for each node)."""
    nodes = int(options[options.index("--nodes") + 1]) if "--nodes" in options else 1
    with forked.start([*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, [process.stdout.readline().strip() for _ in range(nodes)]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_prints_a_url_a_line_and_ends_when_told(number: signal.Signals) -> None:
    """Status 0, one line about it on stderr, nothing else on stdout, and no word of what clients did wrong."""
    with running("--nodes", "2", "--connections", "4") as (process, urls):
        assert [len(listing(url)) for url in urls] == [2, 2]
        with dial(urls[0]) as connection:
            connection.sendall(b"SSH-2.0\r\n\r\n")
            assert everything(connection).startswith(b"HTTP/1.1 400 ")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out == ""
        assert err.splitlines() == ["the simulator is listening; Ctrl-C ends it", "the simulator has ended"]


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    return forked.run([*COMMAND, *options])


def test_around_a_command_it_sets_the_url_and_gives_its_status() -> None:
    """SORA_URL is the first node, SORA_URLS all; the command's output is the only one."""
    code = (
        "import os, sys, urllib.request as r\n"
        "urls = os.environ['SORA_URLS'].split()\n"
        "assert os.environ['SORA_URL'] == urls[0] and len(urls) == 2\n"
        f"q = r.Request(urls[1], data=b'{{}}', headers={{'x-sora-target': '{ALL}'}})\n"
        "print(r.urlopen(q).status)\n"
        "sys.exit(7)\n"
    )
    told = simulate("--port", "0", "--nodes", "2", "--", sys.executable, "-c", code)
    assert (told.returncode, told.stdout, told.stderr) == (7, "200\n", "")


def test_a_command_that_is_killed_gives_the_shell_s_status() -> None:
    """128 and the signal's number."""
    assert simulate("--port", "0", "--", "sh", "-c", "kill -9 $$").returncode == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_as_well(number: signal.Signals) -> None:
    """Whoever runs it in CI ends both."""
    with forked.start(
        [*COMMAND, "--port", "0", "--", "sh", "-c", "echo up; exec sleep 600"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM


def test_sigterm_before_the_command_runs_is_handed_on_to_it() -> None:
    """It may come while the simulator starts; then nobody waits for the command's own end."""
    ended = threading.Event()
    ended.set()
    assert simulate_module._run_command(["sleep", "600"], ["http://127.0.0.1:1"], ended) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fault", "nonsense"], "there is no fault 'nonsense'"),
        (["--fault", "counter-falls:evry=3"], "takes field, every, times, target, after, above, not 'evry'"),
        (["--fault", "counter-falls:every"], "'every' is not of the form key=value"),
        (["--fault", "counter-falls:target=GetStats"], "target must be one of GetStatsConnection, "),
        (["--fault", "cut:target=GetStatsClient"], "the fault cut takes every, times, not 'target'"),
        (["--fault", "counter-falls:every=0"], "every must be an integer of at least 1"),
        (["--fault", "cut:every=x"], "every must be an integer of at least 1"),
        (["--fault", "clock-jump:by=nan"], "by must be a number of seconds"),
        (["--port", "70000"], "must be an integer from 0 to 65,535"),
        (["--workers", "0"], "--workers: '0' must be an integer of 1 or more"),
        (["--tear", "soon"], "must be a time"),
        (["--clock-step=-soon"], "must be a time"),
        (["--connections", "-1"], "must be an integer of 0 or more"),
        (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
        (["--edition", "doc-1999"], "there is no edition 'doc-1999'"),
        (["--cors", ""], "is not an origin"),
        (["--", "/no/such/command"], "cannot run /no/such/command"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(
    options: list[str], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line says what is wrong."""
    port = [] if "--port" in options else ["--port", "0"]
    assert main(["simulate", *port, *options]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    *_, last = told.err.splitlines()
    assert last.startswith("sora-harness: ")
    assert complaint in last
    assert "Traceback" not in told.err


def test_faults_are_listed_as_text_and_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    """Both name the requirements that each trips."""
    assert main(["simulate", "--list-faults", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert main(["simulate", "--list-faults"]) == 0
    text = capfd.readouterr().out
    assert {"name", "description", "parameters", "trips"} <= listed[0].keys()
    for fault in listed:
        assert fault["name"] in text
        assert fault["description"] in text
        assert all(requirement in text for requirement in fault["trips"])
