"""
Run a core of the product with the lowest and the newest versions that pyproject.toml allows, on each Python found here.

For each pair an environment is made in build/versions: the package as a wheel with its extras, its direct dependencies at
their floors or the newest (uv resolves; what they depend on is the newest either way). In it the commands run on the
embedded simulator, the gate runs in pytest, alone and on two processes, and a few of our own tests do. With `--plugins`
a green and a red suite run beside each of twelve third-party plugins as well, with pytest 8 and 9.

`--write` writes docs/COMPATIBILITY.md; what is not on this machine is said there, and on stdout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
ENVIRONMENTS: Final = ROOT / "build" / "versions"
PAGE: Final = ROOT / "docs" / "COMPATIBILITY.md"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS: Final = {"lowest": "lowest-direct", "newest": "highest"}
UV: Final = Path(sys.executable).parent / "uv"
STEP_SECONDS: Final = 300
SHOWN: Final = ("pytest", "locust", "gevent", "httpx", "click", "msgspec")
"""Distributions whose versions the page names."""

CORE_TESTS: Final = (
    "tests/api/test_editions.py",
    "tests/api/test_http1.py",
    "tests/recording/test_reader.py",
    "tests/testing/test_fixtures.py",
)

GREEN: Final = """
def test_green(sora_client):
    for each in sora_client.get_stats_all_connections().samples:
        assert each.connection_id
"""
RED: Final = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_red(sora_client, number):
    for _ in range(8):
        sora_client.get_stats_all_connections()
"""
"""Nothing fails in it but what the plugin finds: a counter falls between two responses."""

UNUSABLE: Final = "the plugin does not run with this pytest"
"""Of a plugin with which a test of nothing fails, and without ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A third-party plugin, and the ways in which a suite is run with it."""

    name: str
    modes: tuple[tuple[str, ...], ...] = ((),)


PLUGINS: Final = (
    Plugin(
        name="pytest-xdist",
        modes=(
            ("-n2",),
            ("-n2", "--dist=loadscope"),
            ("-n2", "--dist=loadfile"),
            ("-n2", "--dist=worksteal"),
        ),
    ),
    Plugin(name="pytest-rerunfailures", modes=(("--reruns=1",),)),
    Plugin(name="pytest-retry", modes=(("--retries=1",),)),
    Plugin(name="flaky", modes=(("--force-flaky", "--max-runs=2"),)),
    Plugin(name="pytest-randomly"),
    Plugin(name="pytest-timeout", modes=(("--timeout=120",),)),
    Plugin(name="pytest-cov", modes=(("--cov=.",),)),
    Plugin(name="pytest-asyncio", modes=(("-oasyncio_mode=auto", "-oasyncio_default_fixture_loop_scope=function"),)),
    Plugin(name="anyio"),
    Plugin(name="pytest-forked", modes=(("--forked",),)),
    Plugin(name="pytest-split", modes=(("--splits=1", "--group=1"),)),
    Plugin(name="pyfakefs"),
)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one environment."""

    python: str
    kind: str
    versions: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def find_pythons() -> dict[str, str]:
    """The interpreters of this machine by version, such as 3.12: those on the path, and pyenv's."""
    found: dict[str, str] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in PYTHONS:
        candidates = [
            sys.executable,
            shutil.which(f"python{version}"),
            *map(str, sorted(pyenv.glob(f"{version}.*/bin/python"))),
        ]
        for candidate in filter(None, candidates):
            code = "import sys; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:  # pyenv's own python3.12 fails where it isn't chosen
                found.setdefault(version, candidate)
    return found


def call(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """A command's exit status and output; 124 where it takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"took more than {STEP_SECONDS} s"
    return done.returncode, done.stdout


def build_wheel(python: str, version: str) -> str:
    """The package as a wheel for one Python; the path, or why there is none."""
    folder = fresh_folder(f"{version}-wheel")
    status, told = call([str(UV), "build", "--quiet", "--wheel", "--python", python, "--out-dir", str(folder)], ROOT)
    return str(next(folder.glob("*.whl"))) if status == 0 else f"cannot be built: {last_line(told)}"


def make_environment(python: str, kind: str, name: str, wheel: str, *extra: str) -> tuple[Path, str | None]:
    """The Python of a new environment with the package in it, and why there is none."""
    folder = ENVIRONMENTS / name
    made, pins = folder / "bin" / "python", folder / "pins.txt"
    extras = ("charts", "hypothesis", "load", "pytest")
    # The floors are those of pyproject.toml: of a wheel, uv would take the newest of what the wheel depends on.
    compile_pins = [
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--python",
        str(made),
        "--resolution",
        RESOLUTIONS[kind],
    ]
    compile_pins += [*(f"--extra={each}" for each in extras), "--output-file", str(pins), "pyproject.toml"]
    wanted = [f"sora-stats-harness[{','.join(extras)}] @ file://{wheel}", "pytest-xdist>=3.6", *extra]
    install = ["pip", "install", "--quiet", "--python", str(made), *wanted]
    commands = [["venv", "--quiet", "--clear", "--python", python, str(folder)]]
    commands += [install] if extra else [compile_pins, [*install, "--constraint", str(pins)]]
    for command in commands:
        status, told = call([str(UV), *command], ROOT)
        if status != 0:
            return made, f"cannot be installed: {last_line(told)}"
    return made, None


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was said")


def core_steps(python: Path) -> Iterator[tuple[str, list[str], int]]:
    """What is run in an environment: what to call it, the command, and the exit status."""
    ours = [str(python), "-m", "sora_stats_harness"]
    pytest = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    gate = ["--sora-conformance", "--sora-url", "simulator", "--sora-duration", "1"]
    yield "conform", [*ours, "conform", "--duration", "1", "--output", "out"], 0
    yield "conform finds a fault", [*ours, "conform", "--duration", "1", "--fault", "counter-falls"], 1
    yield "load", [*ours, "load", "--duration", "3", "--rate", "100", "--record", "run.jsonl.zst"], 0
    yield "check", [*ours, "check", "run.jsonl.zst"], 0
    yield "the gate", [*pytest, "green.py", *gate], 0
    yield "the gate on two processes", [*pytest, "-n2", "green.py", *gate], 0
    yield (
        "tests",
        [*pytest, "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", *(str(ROOT / each) for each in CORE_TESTS)],
        0,
    )


def run_core(python: str, version: str, kind: str, wheel: str) -> Outcome:
    """Make one environment, and run the core in it."""
    outcome = Outcome(python=version, kind=kind)
    made, why = make_environment(python, kind, f"{version}-{kind}", wheel)
    if why is not None:
        outcome.problems.append(why)
        return outcome
    outcome.versions = installed(made)
    work = fresh_folder(f"{version}-{kind}-work")
    (work / "green.py").write_text(GREEN, encoding="utf-8")
    for name, command, wanted in core_steps(made):
        status, told = call(command, ROOT if name == "tests" else work)
        if status != wanted or "greenlet is being finalized" in told:
            outcome.problems.append(f"{name}: exit {status}")
            print(told[-3000:])
    return outcome


def installed(python: Path) -> dict[str, str]:
    """The versions that the page names."""
    code = f"import importlib.metadata as m\nfor each in {SHOWN}: print(each, m.version(each))"
    return dict(line.split() for line in call([str(python), "-c", code], ROOT)[1].splitlines())


def fresh_folder(name: str) -> Path:
    """An empty folder to work in."""
    folder = ENVIRONMENTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run_plugins(python: str, version: str, major: str, wheel: str) -> dict[str, str]:
    """What a green and a red suite come to beside each plugin, by plugin and mode."""
    found: dict[str, str] = {}
    work = fresh_folder(f"plugins-{version}-{major}-work")
    (work / "test_green.py").write_text(GREEN, encoding="utf-8")
    (work / "test_red.py").write_text(RED, encoding="utf-8")
    (work / "test_plain.py").write_text("def test_plain():\n    pass\n", encoding="utf-8")
    (work / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # not the settings of the checkout around it
    for plugin in PLUGINS:
        name = f"plugins-{version}-{major}"
        made, why = make_environment(python, "newest", name, wheel, f"pytest=={major}.*", plugin.name)
        for mode in plugin.modes:
            shown = " ".join((plugin.name, *mode))
            if why is not None:
                found[shown] = why
                continue
            pytest = [str(made), "-m", "pytest", "-q", "-p", "no:cacheprovider", *mode, "--sora-url", "simulator"]
            if call([str(made), "-m", "pytest", "-q", "-p", "no:sora", *mode, "test_plain.py"], work)[0] != 0:
                found[shown] = UNUSABLE
                print(f"pytest {major}, {shown}: {UNUSABLE}")
                continue
            green, told = call([*pytest, "test_green.py"], work)
            red, told_red = call([*pytest, "--sora-fault", "counter-falls", "test_red.py"], work)
            found[shown] = "" if (green, red) == (0, 1) else f"green exits {green}, red {red}"
            if found[shown]:
                print(told[-1500:], told_red[-1500:])
            print(f"pytest {major}, {shown}: {found[shown] or 'green stays green, red stays red'}")
    return found


def page(outcomes: Sequence[Outcome], plugins: dict[str, dict[str, str]], version: str) -> str:
    """docs/COMPATIBILITY.md."""
    lines = [
        "# Compatibility",
        "",
        "`make versions` writes this page, on a machine that has several Pythons.",
        "",
        "## Pythons, and the versions that pyproject.toml allows",
        "",
        "In each environment `conform` passes and finds a fault, `load` and `check` of its recording pass, the gate runs in pytest,",
        "alone and on two processes, and a part of our own tests does. *Lowest* takes each direct dependency at its floor, *newest*",
        "the newest there is.",
        "",
        f"| Python | versions | {' | '.join(SHOWN)} | result |",
        f"| --- | --- |{' --- |' * len(SHOWN)} --- |",
    ]
    ran = {outcome.python for outcome in outcomes}
    for outcome in outcomes:
        cells = " | ".join(outcome.versions.get(each, "") for each in SHOWN)
        lines.append(f"| {outcome.python} | {outcome.kind} | {cells} | {'; '.join(outcome.problems) or 'works'} |")
    lines += [f"| {each} | | {' | ' * len(SHOWN)}not run: no such Python here |" for each in PYTHONS if each not in ran]
    lines += [
        "",
        "## Plugins of pytest",
        "",
        "A suite of the fixture `sora_client` that passes, and one in which nothing fails but what the plugin finds: a counter",
        "that falls. *Yes* says that the first exits 0 and the second 1. Locust's own plugin is there in all of them.",
        f"With Python {version}; with others this was not run.",
        "",
        f"| plugin, and how it is used | {' | '.join(f'pytest {major}' for major in plugins)} |",
        f"| --- |{' --- |' * len(plugins)}",
    ]
    shown = next(iter(plugins.values()))
    lines += [f"| {name} | {' | '.join(found[name] or 'yes' for found in plugins.values())} |" for name in shown]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what was asked for, and say what came out."""
    parser = argparse.ArgumentParser(description="Run a core of the product with other versions.")
    parser.add_argument("kinds", nargs="*", metavar="lowest|newest", help="which versions (default: both)")
    parser.add_argument("--python", help="this one alone, such as 3.12")
    parser.add_argument("--write", action="store_true", help="the plugins as well, and write docs/COMPATIBILITY.md")
    arguments = parser.parse_args()
    pythons = find_pythons()
    wanted = [arguments.python] if arguments.python else PYTHONS
    outcomes: list[Outcome] = []
    wheels: dict[str, str] = {}
    for version in wanted:
        if version not in pythons:
            print(f"Python {version}: not run, there is none here")
            continue
        wheels[version] = build_wheel(pythons[version], version)
        for kind in arguments.kinds or RESOLUTIONS:
            outcomes.append(run_core(pythons[version], version, kind, wheels[version]))
            print(f"Python {version}, {kind}: {'; '.join(outcomes[-1].problems) or 'works'}", flush=True)
    plugins: dict[str, dict[str, str]] = {}
    if arguments.write:
        version = next(iter(wheels))
        plugins = {major: run_plugins(pythons[version], version, major, wheels[version]) for major in ("8", "9")}
        PAGE.write_text(page(outcomes, plugins, version), encoding="utf-8")
    wrong = [outcome for outcome in outcomes if outcome.problems]
    return 1 if wrong or not outcomes or any(set(each.values()) - {"", UNUSABLE} for each in plugins.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
