"""`sora-harness schemas`: writes the generated JSON Schemas as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..api.errors import ExitCode, UsageError
from .framework import Arguments, Command, flag, with_value, with_values
from .output import write_message

if TYPE_CHECKING:
    from ..api.edition import Edition

EXAMPLES: Final = """\
examples:
  sora-harness schemas --output schemas
  sora-harness schemas --output schemas --check
"""


def run(arguments: Arguments) -> int:
    """Write every schema, or compare them with the existing files: 1 if one is missing or stale."""
    from ..api.edition import load_edition, shipped_edition_names

    wanted = schema_files([load_edition(name) for name in arguments.edition or shipped_edition_names()])
    folder: Path = arguments.output
    try:
        if arguments.check:
            return _check_up_to_date(wanted, folder)
        _write_schemas(wanted, folder)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from None
    return int(ExitCode.PASS)


def schema_files(editions: list[Edition]) -> dict[str, str]:
    """The text of every schema file, by its path below schemas/."""
    from ..api import edition_schemas as schemas
    from ..api import project_config as config
    from ..judge.requirements import REQUIREMENTS
    from ..recording import format as lines
    from ..reports import report_schemas

    texts = {
        f"{edition.name}/{name}": schemas.render_schema(schema)
        for edition in editions
        for name, schema in schemas.all_schemas(edition).items()
    }
    texts["verdict.json"] = schemas.render_schema(report_schemas.verdict_schema())
    texts["comparison.json"] = schemas.render_schema(report_schemas.comparison_schema())
    texts["config.json"] = schemas.render_schema(config.config_schema(REQUIREMENTS))
    texts["recording.json"] = schemas.render_schema(lines.recording_schema())
    return texts


def _check_up_to_date(wanted: dict[str, str], folder: Path) -> int:
    wrong = [f"{folder / name} is missing" for name in wanted if not (folder / name).is_file()]
    wrong += [
        f"{folder / name} is stale"
        for name, text in wanted.items()
        if (folder / name).is_file() and (folder / name).read_bytes() != text.encode("utf-8")
    ]
    if wrong:
        wrong.append(f"{len(wrong)} of {len(wanted)} schemas must be rewritten: leave out --check")
        write_message("".join(f"{line}\n" for line in wrong), sys.stderr)
        return int(ExitCode.FAIL)
    write_message(f"{len(wanted)} schemas in {folder} are up to date\n")
    return int(ExitCode.PASS)


def _write_schemas(wanted: dict[str, str], folder: Path) -> None:
    from ..reports.report_folder import write_file_atomically

    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file_atomically(path, text.encode("utf-8"))
    write_message(f"wrote {len(wanted)} schemas to {folder}\n")


command: Command = Command(
    "schemas",
    [
        with_values(
            "--edition", "NAME|FILE", "of these editions (repeatable; default: all that ship with the package)"
        ),
        with_value("--output", "DIR", "where (default: schemas)", type=Path, default=Path("schemas")),
        flag("--check", "write nothing; exit 1 if a file is missing or stale"),
    ],
    examples=EXAMPLES,
    run=run,
)
