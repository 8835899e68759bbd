"""
Hold schemas/ against the JSON Schema validators that people use: all compile, and all give one verdict on 40 bodies.

Two are Python's and in `.venv`; those of Go, JavaScript and Java are fetched by their own package managers, in the
versions that scripts/validator_drivers/ pins, and each step is given a few minutes at most. What is not on this machine is said.
`--write` writes docs/VALIDATORS.md, for which all of them are needed; otherwise the page has to be what this run gives.

Each driver reads `{"schemas": {name: text}, "bodies": [{"schema": name, "body": text}]}` and writes
`{"errors": {name: message}, "verdicts": [true | false | null]}`: null where the schema did not compile.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jsonschema
import jsonschema_rs

ROOT: Final = Path(__file__).resolve().parent.parent
DRIVERS: Final = ROOT / "scripts" / "validator_drivers"
PAGE: Final = ROOT / "docs" / "VALIDATORS.md"
STEP_SECONDS: Final = 240

CONNECTION: Final = "doc-2025/get-stats-connection.response.json"
LISTING: Final = "doc-2025/get-stats-all-connections.response.json"
Json = Any  # what JSON can hold
Result = dict[str, Any]  # what a driver writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One body, the schema that it is held against, and what every validator has to say."""

    what: str
    schema: str
    text: str
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One validator: the programs that it takes, and how it is run in a folder with the drivers' files."""

    name: str
    language: str
    pinned: str
    programs: tuple[str, ...]
    run: Callable[[Path, str], Result]


def bodies() -> list[Body]:
    """The 40 bodies: what servers send, and single faults of it, with what each validator could see differently."""
    example = json.loads((ROOT / "tests" / "data" / "example_response.json").read_bytes())
    return [*_timestamps(example), *_values(example), *_documents(example), *_requests(), *_other_files()]


def _timestamps(example: Json) -> Iterator[Body]:
    for text, valid in (
        ("2025-01-31T12:00:00.123456Z", True),
        ("2025-01-31t12:00:00z", True),
        ("2025-12-31T23:59:60Z", True),
        ("2025-01-31T12:00:00-00:00", True),
        ("2025-01-31T12:00:60Z", False),
        ("2025-01-31T12:00:00+09:00", False),
        ("2025-01-31T12:00:00", False),
        ("2025-01-31T12:00:00Z\n", False),
        ("2025-01-31T12:00:00Z\r\n", False),
        ("2025-01-31T12:00:00Z\u2028", False),
        ("2025-01-31T12:00:00Z ", False),
        ("\n2025-01-31T12:00:00Z", False),
        ("２０２５-01-31T12:00:00Z", False),
    ):
        shown = text.encode("unicode_escape").decode("ascii")
        yield Body(
            what=f"timestamp `{shown}`",
            schema=CONNECTION,
            text=json.dumps(example | {"timestamp": text}),
            valid=valid,
        )


def _values(example: Json) -> Iterator[Body]:
    for written, valid in (
        ("0", True),
        ("-0", True),
        ("20000.0", True),
        ("2e4", True),
        ("18446744073709551616", True),
        ("1.5", False),
        ("-1", False),
        ('"1"', False),
        ("true", False),
        ("null", False),
    ):
        changed = copy.deepcopy(example)
        changed["rtp"]["total_received_rtp"] = "HERE"
        text = json.dumps(changed).replace('"HERE"', written)
        yield Body(what=f"a counter that is `{written}`", schema=CONNECTION, text=text, valid=valid)


def _documents(example: Json) -> Iterator[Body]:
    def without(name: str) -> Json:
        return {key: value for key, value in example.items() if key != name}

    labels = {"data_channel": {"#mine": {"total_received_messages": "1"}}}
    for what, schema, document, valid in (
        ("a connection without `connection_id`", CONNECTION, without("connection_id"), False),
        ("a connection without the group `rtp`", CONNECTION, without("rtp"), True),
        ("a connection with a field that is new", CONNECTION, example | {"new": [None]}, True),
        ("a group that is null", CONNECTION, example | {"rtp": None}, False),
        ("an id of 255 characters outside of the basic plane", CONNECTION, example | {"client_id": "😀" * 255}, True),
        ("an id of 256 characters", CONNECTION, example | {"client_id": "x" * 256}, False),
        ("a label of the user's with a wrong type", CONNECTION, example | labels, False),
        ("an empty object for a connection", CONNECTION, {}, False),
        ("an empty listing", LISTING, [], True),
        ("a listing of two connections", LISTING, [example, example], True),
        ("a connection for a listing", LISTING, example, False),
        ("a listing with an array in it", LISTING, [[example]], False),
    ):
        yield Body(what=what, schema=schema, text=json.dumps(document), valid=valid)


def _requests() -> Iterator[Body]:
    client = "doc-2025/get-stats-client.request.json"
    asked = {"channel_id": "sora", "client_id": "c"}
    yield Body(what="a request", schema=client, text=json.dumps(asked), valid=True)
    yield Body(what="a request without `client_id`", schema=client, text='{"channel_id": "sora"}', valid=False)
    text = '{"local": 1}'
    yield Body(
        what="`local` that is 1", schema="doc-2025/get-stats-all-connections.request.json", text=text, valid=False
    )


def _other_files() -> Iterator[Body]:
    waiver = {"requirement": "shape.unknown", "field": "", "reason": "known", "by": "me", "until": "2030-01-31"}
    for what, key, value, valid in (
        ("a waiver", "until", "2030-01-31", True),
        ("a blank reason", "reason", " ", False),
    ):
        text = json.dumps({"waivers": [waiver | {key: value}]})
        yield Body(what=f"a configuration with {what}", schema="config.json", text=text, valid=valid)


def _in_python(validate: Callable[[Json], Callable[[Json], bool]]) -> Callable[[Path, str], Result]:
    def run(folder: Path, work: str) -> Result:
        todo = json.loads(work)
        compiled, errors = {}, {}
        for name, text in todo["schemas"].items():
            try:
                compiled[name] = validate(json.loads(text))
            except Exception as error:  # whatever a validator raises, it did not compile
                errors[name] = str(error)
        verdicts = [
            compiled[each["schema"]](json.loads(each["body"])) if each["schema"] in compiled else None
            for each in todo["bodies"]
        ]
        return {"errors": errors, "verdicts": verdicts}

    return run


def _jsonschema(schema: Json) -> Callable[[Json], bool]:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid


def _jsonschema_rs(schema: Json) -> Callable[[Json], bool]:
    return jsonschema_rs.Draft202012Validator(schema).is_valid


class NotFetchedError(Exception):
    """A validator's packages can't be had, for which no schema is to blame."""


def _by_commands(fetch: str, *commands: str) -> Callable[[Path, str], Result]:
    def run(folder: Path, work: str) -> Result:
        try:
            _call(fetch, folder)
        except SystemExit as error:
            raise NotFetchedError(str(error)) from None
        for command in commands[:-1]:
            _call(command, folder)
        result: Result = json.loads(_call(commands[-1], folder, work))
        return result

    return run


def _call(command: str, folder: Path, text: str = "") -> str:
    try:
        done = subprocess.run(
            command.split(), cwd=folder, input=text, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"`{command}` took more than {STEP_SECONDS} s") from None
    if done.returncode != 0:
        raise SystemExit(f"`{command}` failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _pinned(file: str, pattern: str) -> str:
    found = re.search(pattern, (DRIVERS / file).read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"scripts/validator_drivers/{file} pins no version")
    return found[1]


def validators() -> list[Validator]:
    """Each validator, in the version that is pinned."""
    return [
        Validator(
            name="jsonschema",
            language="Python",
            pinned=version("jsonschema"),
            programs=(),
            run=_in_python(_jsonschema),
        ),
        Validator(
            name="jsonschema-rs",
            language="Python and Rust",
            pinned=version("jsonschema-rs"),
            programs=(),
            run=_in_python(_jsonschema_rs),
        ),
        Validator(
            name="santhosh-tekuri/jsonschema",
            language="Go",
            pinned=_pinned("go.mod", r"jsonschema/v6 v(\S+)"),
            programs=("go",),
            run=_by_commands("go mod download", "go build -o validate .", "./validate"),
        ),
        Validator(
            name="Ajv 2020, strict mode",
            language="JavaScript",
            pinned=_pinned("package.json", r'"ajv": "([^"]+)"'),
            programs=("node", "npm"),
            run=_by_commands("npm install --silent --no-audit --no-fund --no-package-lock", "node ajv.mjs"),
        ),
        Validator(
            name="networknt/json-schema-validator",
            language="Java",
            pinned=_pinned("pom.xml", r"json-schema-validator</artifactId>\s*<version>([^<]+)"),
            programs=("java", "javac", "mvn"),
            run=_by_commands(
                "mvn --quiet --batch-mode dependency:copy-dependencies -DoutputDirectory=jars",
                "java -cp jars/* Networknt.java",
            ),
        ),
    ]


def page(rows: list[str], held: list[Body], schemas: int) -> str:
    """docs/VALIDATORS.md, after a run in which all of them agreed."""
    lines = [
        "# Validators",
        "",
        f"The {schemas} files of [schemas/](../schemas) are JSON Schema, draft 2020-12. They use no look-around in patterns, no",
        "keyword of their own and no `format`, so that validators take them as they come. `make validators` compiles all of",
        f"them in each of these, and holds the same {len(held)} bodies against them; this page is written from such a run.",
        "",
        "| validator | language | version | compiled | verdicts as expected |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        "The kind and unit of a field are in its `$comment`, such as `kind=counter unit=bytes`. A schema can't say all that the judge",
        "knows: bytes rather than characters, days that no month has, `2e4` for a counter, or anything about two responses.",
        "",
        "## The bodies",
        "",
        "| body | schema | verdict |",
        "| --- | --- | --- |",
        *(f"| {each.what} | {each.schema} | {'valid' if each.valid else 'not valid'} |" for each in held),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run every validator that is here, and compare."""
    parser = argparse.ArgumentParser(description="Hold schemas/ against five JSON Schema validators.")
    parser.add_argument("--write", action="store_true", help="write docs/VALIDATORS.md")
    write = parser.parse_args().write
    top = ROOT / "schemas"
    schemas = {
        path.relative_to(top).as_posix(): path.read_text(encoding="utf-8") for path in sorted(top.rglob("*.json"))
    }
    held = bodies()
    work = json.dumps({"schemas": schemas, "bodies": [{"schema": each.schema, "body": each.text} for each in held]})
    rows: list[str] = []
    wrong = absent = 0
    for validator in validators():
        missing = [program for program in validator.programs if shutil.which(program) is None]
        if missing:
            absent += 1
            print(f"{validator.name}: not run, there is no {' and no '.join(missing)} here")
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(shutil.copytree(DRIVERS, Path(name) / "validators"))
            try:
                result = validator.run(folder, work)
            except NotFetchedError as reason:
                absent += 1
                print(f"{validator.name}: not run, {reason}")
                continue
        differ = [each for each, verdict in zip(held, result["verdicts"], strict=True) if verdict is not each.valid]
        compiled, agreed = len(schemas) - len(result["errors"]), len(held) - len(differ)
        print(
            f"{validator.name} {validator.pinned}: {compiled} of {len(schemas)} compiled, {agreed} of {len(held)} as expected"
        )
        for path, error in result["errors"].items():
            print(f"  {path} does not compile: {error}")
        for each in differ:
            print(f"  {each.what} ({each.schema}): {'not valid' if each.valid else 'valid'}")
        wrong += len(result["errors"]) + len(differ)
        rows.append(
            f"| {validator.name} | {validator.language} | {validator.pinned} | {compiled} of {len(schemas)} "
            f"| {agreed} of {len(held)} |"
        )
    if wrong:
        return 1
    if absent:
        return 2 if write else 0
    text = page(rows, held, len(schemas))
    if write:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/VALIDATORS.md is stale: `scripts/validators.py --write` writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
