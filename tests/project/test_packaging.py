"""
What is published works without the checkout: sdist and wheel are built, and the wheel is installed and used elsewhere.

The other folder has a `harness/` of its own, as many repositories do, which nothing of ours may trip over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness import __version__
from sora_stats_harness.judge import accelerator
from sora_stats_harness.simulator.server import Simulator
from tests.once import make_once

BUILT: Final = find_spec("sora_stats_harness.judge._accelerator") is not None
"""Whether there is a compiler here: what was built for this checkout is built for the wheel."""

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = ROOT / "tests" / "data" / "example_response.json"


@dataclass(frozen=True)
class Published:
    """The built files, and a place outside of the checkout where the wheel is installed."""

    sdist: Path
    wheel: Path
    folder: Path
    """Where commands run; it has a `harness/` that must not be imported."""

    scripts: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the other environment in the other folder."""
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SORA_URL")}
        return subprocess.run(
            [str(self.scripts / command[0]), *command[1:]],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )


def publish(top: Path) -> None:
    """Build, and install into an environment that has our dependencies, but neither pip nor the checkout."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(top / "dist"), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (top / "dist").glob("*.whl")

    venv.create(top / "env", with_pip=False, symlinks=True)
    install = [sys.executable, "-m", "pip", "--python", str(top / "env" / "bin" / "python"), "install", "--quiet"]
    options = ["--disable-pip-version-check", "--no-deps", "--no-index"]
    done = subprocess.run([*install, *options, str(wheel)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    # Our own environment serves for the dependencies. Files ending in .pth that lie in there, as an editable install's
    # does, are not read for a folder that is named in such a file itself.
    (own,) = (top / "env" / "lib").glob("python*/site-packages")
    (own / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in site.getsitepackages()), encoding="utf-8")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The sdist and the wheel, built once a run, and a folder of this process's own."""
    top = make_once(tmp_path_factory, "published", publish)
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "harness").mkdir()
    (folder / "harness" / "__init__.py").write_text("raise RuntimeError('not ours to import')\n", encoding="utf-8")
    shutil.copy(EXAMPLE, folder / "response.json")
    (sdist,), (wheel,) = (top / "dist").glob("*.tar.gz"), (top / "dist").glob("*.whl")
    return Published(sdist=sdist, wheel=wheel, folder=folder, scripts=top / "env" / "bin")


def test_wheel_holds_the_package_alone(published: Published) -> None:
    """Nothing but the package and its metadata: its data and type marker are there, tests and schemas/ are not."""
    with zipfile.ZipFile(published.wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "sora_stats_harness",
        f"sora_stats_harness-{__version__}.dist-info",
    }
    assert "sora_stats_harness/py.typed" in names
    assert "sora_stats_harness/api/editions/doc-2024.toml" in names
    assert "sora_stats_harness/testing/connection_sample.pyi" in names
    assert [name for name in names if name.endswith((".pyc", ".c"))] == []
    built = [name for name in names if name.endswith(".so")]
    assert len(built) == BUILT
    assert published.wheel.name.endswith("-py3-none-any.whl") is not BUILT


def test_without_a_compiler_the_wheel_is_whole(tmp_path: Path) -> None:
    """It is for any Python and any machine then, and says so; who publishes can insist on the accelerator."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    nowhere = os.environ | {"CC": "/nowhere/cc", "SORA_HARNESS_ACCELERATOR": ""}
    done = subprocess.run(build, env=nowhere, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything is judged in Python: /nowhere/cc: No such file" in done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "sora_stats_harness/judge/accelerator.py" in names
    assert [name for name in names if name.endswith(".so")] == []
    insisting = nowhere | {"SORA_HARNESS_ACCELERATOR": "required"}
    done = subprocess.run(build, env=insisting, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "the accelerator cannot be built: /nowhere/cc" in done.stdout + done.stderr


def test_sdist_can_be_read_and_tested(published: Published) -> None:
    """Sources, tests, schemas, pages and licence are in the sdist, and nothing of an environment or a run."""
    with tarfile.open(published.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "harness/sora_stats_harness/judge/pipeline.py",
        "tests/project/test_packaging.py",
        "schemas/verdict.json",
        "docs/ARCHITECTURE.md",
        "README.md",
        "README.ja.md",
        "CHANGELOG.md",
        "LICENSE",
    ):
        assert name in names
    stray = {name for name in names if name.startswith((".venv", ".git/", "reports/conform")) or "__pycache__" in name}
    assert stray == set()


def test_installed_package_is_the_wheels(published: Published) -> None:
    """What runs elsewhere is the wheel's copy, not the checkout."""
    done = published.run("python", "-c", "import sora_stats_harness; print(sora_stats_harness.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(published.scripts.parent), done.stdout + done.stderr
    done = published.run("python", "-m", "sora_stats_harness", "--version")
    assert (done.returncode, done.stdout.split()[1]) == (0, __version__), done.stderr
    assert ("accelerator" in done.stdout) is accelerator.is_available()


def test_conform_runs_elsewhere(published: Published) -> None:
    """The gate passes on its own simulator, and writes its reports where it runs."""
    done = published.run("sora-harness", "conform", "--duration", "0.1", "--json", "--output", "gate")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert (verdict["verdict"], verdict["subject_kind"]) == ("pass", "simulator")
    assert verdict["coverage"]["samples"] > 100
    assert (published.folder / "gate" / "report.html").is_file()


def test_check_runs_elsewhere(published: Published) -> None:
    """The documented example passes, and fails once a field of it is gone."""
    assert published.run("sora-harness", "check", "response.json").returncode == 0
    response = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    del response["rtp"]["total_received_rtp"]
    (published.folder / "broken.json").write_text(json.dumps(response), encoding="utf-8")
    done = published.run("sora-harness", "check", "broken.json")
    assert done.returncode == 1
    assert "/rtp/total_received_rtp" in done.stdout


def test_simulate_runs_elsewhere(published: Published) -> None:
    """The simulator serves the API for as long as a command runs, and ends with its status."""
    ask = (
        "import httpx, os, sys\n"
        "headers = {'x-sora-target': 'Sora_20171101.GetStatsAllConnections'}\n"
        "response = httpx.post(os.environ['SORA_URL'], headers=headers, trust_env=False)\n"
        "print(response.status_code, len(response.json()))\n"
        "sys.exit(7)\n"
    )
    done = published.run(
        "sora-harness", "simulate", "--port", "0", "--no-churn", "--", str(published.scripts / "python"), "-c", ask
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines()[-1] == "200 20"


def test_scenarios_and_their_locustfiles_run_elsewhere(published: Published) -> None:
    """`--scenario` finds what the wheel has, and plain Locust runs it."""
    done = published.run("sora-harness", "load", "--scenario", "drill", "--dry-run")
    (file,) = re.findall(r"locust -f (\S+)", done.stderr)
    assert done.returncode == 0 and Path(file).is_relative_to(published.scripts.parent), done.stderr
    pace = ("--users", "2", "--interval", "20ms", "--duration", "1s")
    done = published.run(
        "sora-harness", "load", "--scenario", "drill", *pace, "--connections", "2", "--output", "drill"
    )
    told = json.loads((published.folder / "drill" / "verdict.json").read_text(encoding="utf-8"))
    assert done.returncode in (0, 3) and told["options"]["scenario"] == "drill", done.stdout + done.stderr
    with Simulator(connections=2, churn=False) as simulator:
        users = ("--headless", "-u", "2", "-r", "9", "-t", "1s", "--only-summary", "--host", simulator.url)
        done = published.run("python", "-m", "locust", "-f", file, *users)
    assert done.returncode in (0, 3) and "sora-harness load" in done.stderr, done.stdout + done.stderr


def test_pytest_plugin_runs_elsewhere(published: Published) -> None:
    """Pytest finds the plugin by itself; the gate passes beside Locust's plugin, and next to that other `harness/`."""
    gate = ("--sora-conformance", "--sora-url", "simulator", "--sora-duration", "0.1", "--sora-report", "plugin")
    done = published.run("python", "-m", "pytest", *gate, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sora: pass" in done.stdout
    assert "locust-" in done.stdout
    assert (published.folder / "plugin" / "verdict.json").is_file()


def test_core_install_needs_no_extra(published: Published) -> None:
    """The gate, `check` and the simulator import neither Locust nor pytest nor Hypothesis."""
    code = (
        "import sys\n"
        "import sora_stats_harness.cli.conform, sora_stats_harness.probe.conformance_run, sora_stats_harness.probe.file_check\n"
        "import sora_stats_harness.simulator.server, sora_stats_harness.reports.report_folder\n"
        "print(sorted({'locust', 'gevent', 'pytest', 'hypothesis', 'orjson', 'jsonschema_rs', 'pygal'} & set(sys.modules)))\n"
    )
    done = published.run("python", "-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
