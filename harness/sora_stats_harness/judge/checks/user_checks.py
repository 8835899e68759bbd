"""Loads a user's own checks from Python files."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from ...api.errors import UsageError
from ..check import Check
from ..requirement import Requirement

MODULE_PREFIX: Final = "sora_harness_checks_"


def load_user_checks(path: str | Path) -> tuple[Check, ...]:
    """
    Run a file, and make an instance of each check that it defines, in the order of the file.

    A check is a class that inherits from `Check`; a class without `requirements` counts as a base class for others.
    Each call makes new instances, since judges must not share checks.

    Args:
        path: A Python file.

    Raises:
        UsageError: The file can't be run, or has no check, or a requirement's id is taken or has no family.
    """
    module = _run_file(Path(path))
    classes = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and Check in each.__mro__ and each.__module__ == module.__name__
    ]
    try:
        checks = tuple(each() for each in classes if getattr(each, "requirements", ()))
    except Exception as error:
        raise UsageError(f"{path}: a check can't be made: {type(error).__name__}: {error}") from error
    if not checks:
        raise UsageError(f"{path} defines no check: a class that inherits from Check and has requirements")
    _validate_requirements(path, [row for check in checks for row in check.requirements])
    return checks


def load_check_files(paths: Iterable[str | Path]) -> tuple[Check, ...]:
    """
    Make the checks of several files.

    Raises:
        UsageError: As for one file, or two files define one requirement.
    """
    checks: list[Check] = []
    for path in dict.fromkeys(paths):
        made = load_user_checks(path)
        taken = {row.id for check in checks for row in check.requirements}
        for row in (row for check in made for row in check.requirements):
            if row.id in taken:
                raise UsageError(f"{path}: the requirement id {row.id!r} is taken by another file of checks")
        checks += made
    return tuple(checks)


def _run_file(path: Path) -> ModuleType:
    name = MODULE_PREFIX + path.stem
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file: its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} can't be run: {type(error).__name__}: {error}") from error
    return module


def _validate_requirements(path: str | Path, rows: list[object]) -> None:
    from ..requirements import (
        REQUIREMENTS,
    )  # not at the top: it imports the checks of this package, which import this module

    taken = set(REQUIREMENTS)
    for row in rows:
        if not isinstance(row, Requirement):
            raise UsageError(f"{path}: {row!r} is not a Requirement")
        if "." not in row.id.strip("."):
            raise UsageError(f"{path}: the requirement id {row.id!r} must have a family and a name, like 'mine.rule'")
        if row.id in taken:
            raise UsageError(f"{path}: the requirement id {row.id!r} is taken")
        taken.add(row.id)
