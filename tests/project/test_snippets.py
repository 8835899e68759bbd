"""Every example in the pages is read by what it is for: a workflow by the CI service's own schema, a script by its shell."""

from __future__ import annotations

import ast
import doctest
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / name for name in ("README.md", "README.ja.md", "CONTRIBUTING.md", "CHANGELOG.md")]


class Snippet(NamedTuple):
    """An example, and where it stands."""

    place: str
    language: str
    text: str


def snippets() -> list[Snippet]:
    """All of them."""
    return [
        Snippet(f"{page.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}", match[1], match[2])
        for page in (*PAGES, *sorted((ROOT / "docs").glob("*.md")))
        for text in [page.read_text(encoding="utf-8")]
        for match in re.finditer(r"^```([a-z]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def read_shell(text: str) -> None:
    """As bash reads it, without running it."""
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def read_python(text: str) -> None:
    """A module, or a session of the interpreter; what it imports of the package is there."""
    examples = doctest.DocTestParser().get_examples(text)
    for source in [example.source for example in examples] or [text]:
        compile(source, "snippet", "exec")
        for node in ast.walk(ast.parse(source)):
            # not of load/: Locust would replace this process's sockets
            if isinstance(node, ast.ImportFrom) and re.match(r"sora_stats_harness\.(?!load)", node.module or ""):
                exec(ast.unparse(node), {})


def read_nothing(text: str) -> None:
    """What a person sees on a terminal: test_docs.py runs the commands."""


def read_nginx(text: str) -> None:
    """nginx itself is a thing to install: directives end, and blocks close."""
    rest = re.sub(r"#.*", "", text)
    while (shorter := re.sub(r"[$\w][^;{}]*(?:;|\{\s*\})\s*", "", rest)) != rest:
        rest = shorter
    assert rest.strip() == "", rest


READERS: Final[dict[str, Callable[[str], Any]]] = {  # Any: what each gives
    "console": read_nothing,
    "json": json.loads,
    "nginx": read_nginx,
    "python": read_python,
    "sh": read_shell,
    "text": read_nothing,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}


def test_examples_are_what_they_say() -> None:
    """In one of the languages above."""
    for snippet in snippets():
        try:
            READERS[snippet.language](snippet.text)
        except Exception as e:
            e.add_note(f"in the example of {snippet.place}")
            raise


def kind_of_workflow(text: str) -> str | None:
    """Whose it is, as the schemas are called; None for what is no workflow."""
    document = yaml.safe_load(text)
    if "scrape_configs" in document:  # a real Prometheus reads it, in tests/load
        return None
    return "vendor.github-workflows" if "jobs" in document else "vendor.gitlab-ci"


def test_workflows_are_valid(tmp_path: Path) -> None:
    """GitHub's and GitLab's, and the action itself."""
    files: dict[str, list[Path]] = {"vendor.github-actions": [ROOT / "action.yml"]}
    for number, snippet in enumerate(each for each in snippets() if each.language == "yaml"):
        path = tmp_path / f"{number}.yml"
        path.write_text(snippet.text, encoding="utf-8")
        if (kind := kind_of_workflow(snippet.text)) is not None:
            files.setdefault(kind, []).append(path)
    assert {"vendor.github-actions", "vendor.github-workflows", "vendor.gitlab-ci"} == set(files)
    for kind, paths in files.items():
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", kind, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


INSTALL: Final = re.compile(
    r"""\b(?:pip3?|pipx|uv\ tool)\ install\ (?:-[-\w]+\ (?:\S+\.txt\ )?)*(?:(["'])(.+?)\1|([^\s`"')]+))""", re.VERBOSE
)


def test_what_pip_is_to_install_is_there() -> None:
    """In pages and messages: what an index has is a dependency of ours, and this project comes from elsewhere."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = [*declared["dependencies"], *(row for rows in declared["optional-dependencies"].values() for row in rows)]
    known = {re.split(r"[^\w.-]", row)[0].lower() for row in rows}
    given = []
    for file in (*PAGES, *(ROOT / "docs").glob("*.md"), ROOT / "Containerfile", *(ROOT / "harness").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\b(?:uvx|pipx run|uv tool run) sora", text), file
        given += [(file.name, match[2] or match[3]) for match in INSTALL.finditer(text)]
    assert len(given) > 10
    for place, what in given:
        from_elsewhere = what.startswith((".", "dist/")) or " @ git+https://git.example/" in what
        assert from_elsewhere or re.split(r"[^\w.-]", what)[0].lower() in known, (place, what)
