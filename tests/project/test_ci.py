"""action.yml and docs/CI.md: what a CI server would read is there, is valid, and its steps run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sora_stats_harness import cli
from sora_stats_harness.reports import report_folder as files

from ..reports import verdicts

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "CI.md"
SCRIPTS: Final = Path(sys.executable).parent

SMOKE: Final = "--duration 2 --targets GetStatsAllConnections\n--connections 3\n\n--valid-only --label 'build=a b'\n"

Action = dict[str, Any]  # Any: YAML
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def action() -> Action:
    """action.yml, parsed."""
    document: Action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return document


def run_step(
    action: Action, name: str, folder: Path, inputs: dict[str, str], path: str
) -> subprocess.CompletedProcess[str]:
    """Run a step's script as the runner would: bash -e -o pipefail, its variables filled in from the inputs."""
    (step,) = (step for step in action["runs"]["steps"] if step.get("name") == name)
    given = {key: value.get("default", "") for key, value in action["inputs"].items()} | inputs
    environment = {
        "PATH": path,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "GITHUB_OUTPUT": str(folder / "outputs"),
        "GITHUB_PATH": str(folder / "path"),
        "RUNNER_TEMP": str(folder / "temp"),
        "GITHUB_ACTION_PATH": str(ROOT),
    }
    for variable, value in step["env"].items():
        name_of = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)
        extra = "[load]" if given["command"] == "load" else ""  # the one expression that is more than a name
        environment[variable] = given[name_of[1]] if name_of else extra
    (folder / "temp").mkdir(exist_ok=True)
    words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_action_is_one(action: Action) -> None:
    """Composite, each step with a shell or an action; each input has a meaning and is used, each one used is declared."""
    assert action["runs"]["using"] == "composite" and action["name"] and action["description"]
    for step in action["runs"]["steps"]:
        assert ("uses" in step) != (step.get("shell") == "bash" and "run" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@v[0-9]+", step.get("uses", "a/b@v1"))
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert used == set(action["inputs"])
    assert all(value["description"] for value in (*action["inputs"].values(), *action["outputs"].values()))
    steps = {step["id"] for step in action["runs"]["steps"] if "id" in step}
    assert set(re.findall(r"steps\.([a-z-]+)\.", json.dumps(action["outputs"]))) <= steps


def test_no_input_stands_in_a_script(action: Action) -> None:
    """Put into the text, an input could be any command; each comes as a variable, and variables are quoted."""
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        for line in step.get("run", "").splitlines():
            bare = re.sub(r'"[^"]*"', "", line)
            assert "$" not in bare.replace("code=$?", ""), line


def test_the_action_installs_itself(action: Action, tmp_path: Path) -> None:
    """From its own checkout, with its own versions, into an environment of its own; with Locust only for load."""
    stub = tmp_path / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(
        f'#!/bin/bash\necho "$@" >> {tmp_path}/calls\nif [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi\n',
        encoding="utf-8",
    )
    stub.chmod(0o755)
    for command, package in (("conform", ROOT), ("load", f"{ROOT}[load]")):
        done = run_step(action, "Install sora-harness", tmp_path, {"command": command}, f"{stub.parent}:/usr/bin:/bin")
        assert done.returncode == 0, done.stderr
        venv, pip = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()[-2:]
        assert venv == f"-m venv {tmp_path}/temp/sora-harness"
        assert pip.endswith(f"-c {ROOT}/constraints.txt {package}")
    assert (tmp_path / "path").read_text(encoding="utf-8").splitlines() == [f"{tmp_path}/temp/sora-harness/bin"] * 2
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize(
    ("inputs", "code", "told"),
    [
        ({"self-test": "True", "options": SMOKE}, 0, "SELF-TEST"),
        ({}, 2, "SORA_URL is set but empty"),
        ({"url": "$(touch pwned)"}, 2, "is not a URL"),
        ({"url": "http://127.0.0.1:9", "options": "--duration 0.3\n'$(touch pwned)'"}, 2, "$(touch pwned)"),
        (
            {"self-test": "true", "options": "--label 'build=1"},
            2,
            "::error title=sora-harness::options: No closing quotation",
        ),
        ({"self-test": "true", "options": "--output=elsewhere"}, 2, "name the folder as the input output"),
    ],
)
def test_the_action_runs(action: Action, inputs: dict[str, str], code: int, told: str, tmp_path: Path) -> None:
    """A self-test leaves a verdict, without the configuration that is there; an unset secret is never one."""
    (tmp_path / "sora-harness.toml").write_text("url = 'http://127.0.0.1:9'\n", encoding="utf-8")
    done = run_step(action, "Run sora-harness", tmp_path, inputs, f"{SCRIPTS}:/usr/bin:/bin")
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert (tmp_path / "outputs").read_text(encoding="utf-8") == f"exit-code={code}\n"
    assert not (tmp_path / "pwned").exists()
    if code == 0:
        document = json.loads((tmp_path / "reports" / "sora-harness" / "verdict.json").read_text(encoding="utf-8"))
        assert document["subject_kind"] == "simulator" and document["labels"] == {"build": "a b"}


def blocks(language: str) -> list[str]:
    """The page's examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def scripts(value: Any) -> Iterator[str]:  # Any: YAML
    """Every shell script in a workflow, GitHub's or GitLab's."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key in ("run", "script", "before_script"):
                yield from [below] if isinstance(below, str) else below
            else:
                yield from scripts(below)
    elif isinstance(value, list):
        for below in value:
            yield from scripts(below)


def test_workflows_are_what_their_servers_read(action: Action) -> None:
    """GitHub: jobs with steps that use or run something; GitLab: stages, scripts, a JUnit report that a run writes."""
    workflows = [yaml.safe_load(block) for block in blocks("yaml")]
    github = [workflow for workflow in workflows if "jobs" in workflow]
    gitlab = [workflow for workflow in workflows if "stages" in workflow]
    assert len(github) >= 2 and len(gitlab) == 1 and len(workflows) == len(github) + len(gitlab)
    for job in (job for workflow in github for job in workflow["jobs"].values()):
        assert job["runs-on"] and all(("uses" in step) != ("run" in step) for step in job["steps"])
        for step in job["steps"]:
            if "sora-stats-harness@" in step.get("uses", ""):
                assert set(step["with"]) <= set(action["inputs"])
    assert gitlab[0][".sora"]["artifacts"]["reports"]["junit"] == "reports/*/junit.xml"
    assert {job["stage"] for job in gitlab[0].values() if isinstance(job, dict) and "stage" in job} == set(
        gitlab[0]["stages"]
    )


def test_every_command_on_the_page_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """In workflows and in recipes; what it would do is not done. Recipes are bash."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "verdict.json").write_text(
        files.verdict_to_json(verdicts.passing().verdict), encoding="ascii"
    )
    texts = [text for block in blocks("yaml") for text in scripts(yaml.safe_load(block))] + blocks("sh")
    seen = 0
    for name in cli.COMMANDS:
        monkeypatch.setattr(import_module(f"{cli.__name__}.{name}").command, "callback", lambda **values: 0)
    for text in texts:
        assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).returncode == 0, text
        for line in re.findall(r"^ *sora-harness (.*?)(?: \|\| .*)?$", text, re.MULTILINE):
            assert cli.main(shlex.split(line)) == 0, (line, capsys.readouterr().err)
            seen += 1
    assert seen >= 7


def test_a_run_in_github_actions_annotates_and_sums_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """On the stream for people, so that stdout stays JSON; the summary is added to what other commands wrote there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    (tmp_path / "step.md").write_text("before\n", encoding="utf-8")
    (tmp_path / "response.json").write_text("{}", encoding="utf-8")
    assert cli.main(["check", "response.json", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["verdict"] == "fail"
    lines = captured.err.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert len(token) == 32 and lines[lines.index(f"::{token}::") + 1].startswith(
        "::error title=sora-harness check::FAIL"
    )
    assert (tmp_path / "step.md").read_text(encoding="utf-8").startswith("before\n## ❌ Sora statistics API: FAIL\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "step.md"))
    assert cli.main(["check", "response.json"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("::stop-commands::") and token not in captured.out
    assert "the step's summary could not be written: No such file" in captured.err
    assert cli.main(["check", "none.json"]) == 2
    assert "\n::error title=sora-harness::none.json" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    assert cli.main(["check", "response.json"]) == 1
    assert "::" not in capsys.readouterr().out


@pytest.mark.parametrize("last", [0, 3])
@pytest.mark.parametrize("failing", ["none", "conform", "load"])
def test_the_gate_of_an_image_lets_nothing_through(failing: str, last: int, tmp_path: Path) -> None:
    """Each of its commands is one of ours; the worst code keeps the image back, and the image is stopped in any case."""
    page = (ROOT / "docs" / "CI.md").read_text(encoding="utf-8")
    script = page[page.index("```sh\n#!/bin/sh\nurl=") + len("```sh\n") :].partition("```")[0]
    stub = f'#!/bin/sh\necho "$0|$*" >> {tmp_path}/asked\n[ "$1" = compare ] && exit {last}\n[ "$1" != {failing} ]\n'
    for name in ("docker", "sora-harness"):
        (tmp_path / name).write_text(stub, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    words = ["sh", "-c", script, "gate.sh", "sora:1"]
    done = subprocess.run(words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, cwd=tmp_path, capture_output=True)
    assert done.returncode == (last if failing == "none" else 1), done.stderr
    asked = [line.partition("|") for line in (tmp_path / "asked").read_text(encoding="utf-8").splitlines()]
    ours = [rest.split() for name, _, rest in asked if name.endswith("sora-harness")]
    assert [command for command, *_ in ours] == ["conform", *["load"] * 5, "compare"]
    for command, *rest in ours:
        import_module(f"sora_stats_harness.cli.{command}").command.make_context(command, rest)
    assert [rest.split()[0] for name, _, rest in asked if name.endswith("docker")] == ["run", "rm"]
