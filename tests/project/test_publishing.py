"""What a package index and a container engine are given; `make dist` checks the built files by their own tools."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Final

import pytest
from hatch_build import absolute_links

from tests.once import make_once

ROOT: Final = Path(__file__).resolve().parents[2]
REPOSITORY: Final = "https://git.example/team/sora-stats-harness"


def build_wheel(top: Path) -> None:
    """A wheel as somebody publishes it who says where the repository is; in Python alone, which is quicker."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(top), str(ROOT)]
    environment = {"PATH": "/usr/bin:/bin", "CC": "/nowhere/cc", "SORA_HARNESS_REPOSITORY": f"{REPOSITORY}/"}
    done = subprocess.run(build, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, open."""
    (path,) = make_once(tmp_path_factory, "publishing", build_wheel).glob("*.whl")
    return zipfile.ZipFile(path)


def read_metadata(wheel: zipfile.ZipFile) -> Message:
    """Its METADATA."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_the_metadata_is_whole(wheel: zipfile.ZipFile) -> None:
    """Who made it, where it is, for whom."""
    metadata = read_metadata(wheel)
    assert metadata["Author"]
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    assert urls["Homepage"] == REPOSITORY
    assert set(urls) >= {"Changelog", "Documentation", "Issues"}
    assert "Framework :: Pytest" in metadata.get_all("Classifier", [])


def test_links_of_an_index_page_lead_somewhere(wheel: zipfile.ZipFile) -> None:
    """None is relative there, and pictures are the files themselves."""
    text = read_metadata(wheel).get_payload()
    assert isinstance(text, str)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links
    assert [link for link in links if not link.startswith(("https://", "http://", "#"))] == []


def test_only_relative_links_change() -> None:
    """A picture's file is raw; what is absolute, or leads within the page, stays."""
    text = "[a](docs/A.md) ![b](docs/img/b.png) [c](https://c.example/) [d](#more)"
    assert absolute_links(text, REPOSITORY) == (
        f"[a]({REPOSITORY}/blob/main/docs/A.md) ![b]({REPOSITORY}/raw/main/docs/img/b.png) "
        "[c](https://c.example/) [d](#more)"
    )


def test_the_locustfiles_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """Each of them, below the room of load."""
    names = {path.name for path in (ROOT / "locustfiles").glob("*.py")}
    there = {name.rpartition("/")[2] for name in wheel.namelist() if "/load/locustfiles/" in name}
    assert there == names


def test_the_distribution_s_name_is_a_command(wheel: zipfile.ZipFile) -> None:
    """`pipx run` and `uvx` start what is called as the distribution is."""
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "sora-stats-harness = sora_stats_harness.__main__:main" in wheel.read(name).decode()


def test_the_containerfile_keeps_to_what_is_there() -> None:
    """It runs without root, starts the simulator, copies what .containerignore lets through, and names no floating image."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {step for step, _ in steps} <= known
    images = [rest.split()[0] for step, rest in steps if step == "FROM"]
    assert all(re.fullmatch(r"docker\.io/library/python:[0-9.]+-slim", image) for image in images)
    last = {step: rest for step, rest in steps}  # noqa: C416  # the last of each kind counts
    assert last["USER"] not in {"root", "0", "0:0"}
    assert last["ENTRYPOINT"] == '["sora-harness"]'
    assert last["CMD"].startswith('["simulate"')
    let_through = [
        line[1:] for line in (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    assert all((ROOT / name).exists() for name in let_through)
    assert {"pyproject.toml", "harness", "locustfiles", "hatch_build.py", "README.md"} <= set(let_through)
