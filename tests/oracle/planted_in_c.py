"""
Bugs planted in the accelerator, one at a time: does its test notice?

No tree of C is mutated here, so these are written by hand: a bug is one replacement in a copy of the package, which is
built anew. The original text must occur exactly once, so a bug that a change of the code has made meaningless is an error
here, and not a bug that nobody notices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

from .code_mutants import PACKAGE, ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """`right` becomes `wrong`."""

    name: str
    right: str
    wrong: str


SOURCE: Final = "judge/_accelerator.c"

BUGS: Final = tuple(
    Bug(name=name, right=right, wrong=wrong)
    for name, right, wrong in (
        (
            "numbers beyond 64 bits wrap",
            "(++digits >= 20 && (digits > 20 || sum > (UINT64_MAX - digit) / 10))",
            "++digits >= 25",
        ),
        ("numbers may begin with 0", "if (sum == 0 || (++digits", "if ((++digits"),
        (
            "a key may stand twice",
            "if (entry->seen_in == number) {\n        self->refusal",
            "if (0) {\n        self->refusal",
        ),
        (
            "a label may stand twice",
            "if (PyDict_Contains(self->labels, label) != 0) {",
            "if (PyDict_Contains(self->labels, label) < 0) {",
        ),
        ("keys may be missing", "if (entry->required || (entry->kind == GROUP", "if ((entry->kind == GROUP"),
        ("counters without an upper limit", " || value > (uint64_t)entry->most) {", ") {"),
        ("counters without a lower limit", "value < (uint64_t)entry->least ||", "0 ||"),
        (
            "gauges one above their limit",
            "value > entry->most) {\n        return NULL;\n    }\n    return entry",
            "value > entry->most + 1) {\n        return NULL;\n    }\n    return entry",
        ),
        (
            "bytes that are no UTF-8",
            "if (p == NULL || (plain.ascii && entry->place < 0)) {",
            "if (p == NULL || entry->place < 0) {",
        ),
        ("control characters in strings", "if (byte < 0x20 || byte == '\\\\') {", "if (byte == '\\\\') {"),
        ("whatever follows the end", "if (p != self->end) {", "if (p == NULL) {"),
        ("words that begin like a known one", "plain.length == word->length &&", "plain.length >= word->length &&"),
        (
            "the last counter never moves",
            "memcmp(((Counters *)counters)->values, values, (size_t)count * sizeof(uint64_t)) == 0;",
            "memcmp(((Counters *)counters)->values, values, (size_t)(count - 1) * sizeof(uint64_t)) == 0;",
        ),
        ("a label that has come is not told", "self->same_labels &= leaves == leaves_before;", "(void)0;"),
        ("leaves of labels never change", "PyObject_RichCompareBool(leaves, before, Py_EQ);", "1;"),
        (
            "a label that has gone is not told",
            "LABELS_KEPT)) == PyList_GET_SIZE(self->labels_read)) {",
            "LABELS_KEPT)) >= PyList_GET_SIZE(self->labels_read)) {",
        ),
        ("a fall is none", "return fell ? FALLEN : grew ? GROWN : SAME;", "return grew ? GROWN : SAME;"),
        (
            "any two are equal beside a tuple",
            "same = tuple == NULL ? -1 : PyObject_RichCompareBool(tuple, two, Py_EQ);",
            "same = 1;",
        ),
        (
            "relations of what is not there",
            "if (self->values[row->terms[at].slot] == MISSING) {\n            return 1;",
            "if (0) {\n            return 1;",
        ),
        (
            "only the left side has to be there",
            "at < row->left + row->right; at++) {\n        if (self",
            "at < row->left; at++) {\n        if (self",
        ),
        ("an excuse is none", "left > right && excuses != 0", "0"),
        ("an excuse for all", "left > right && excuses != 0", "left > right"),
        ("what is not there excuses nothing", "left > right && excuses != 0", "left > right && excuses + 1 > 1"),
        ("sums may overflow", "if (bits < LARGE) {", "if (1) {"),
        ("other labels are the same", "PyUnicode_Compare(label, other) == 0", "PyUnicode_Compare(label, other) != 2"),
        (
            "a label more is none",
            "PyDict_GET_SIZE(known) == PyDict_GET_SIZE(labels)",
            "PyDict_GET_SIZE(known) <= PyDict_GET_SIZE(labels)",
        ),
        (
            "the latest holder, not the first",
            "while (step + 1 < length && steps",
            "while (0 && steps",
        ),
        ("counters of the body before", "memset(self->values, 0xff,", "memset(self->values, 0xff, 0 *"),
        (
            "the largest number is one that is missing",
            "if (p == NULL || value == MISSING || value <",
            "if (p == NULL || value <",
        ),
        (
            "what is missing is the largest",
            "grew |= new[at] + 1 > old[at] + 1;",
            "grew |= new[at] > old[at];",
        ),
        ("keys of labels that are unknown", "p = node == self->label ? NULL : read_plain", "p = read_plain"),
        (
            "whatever begins like a number",
            "read_unsigned(from, &value) == p &&",
            "read_unsigned(from, &value) != NULL &&",
        ),
        ("29 days in any February", "+ (leap && month == 2)) {", "+ (month == 2)) {"),
        ("minutes of 61 seconds", "second > 59 ||", "second > 60 ||"),
        ("what is absent is not said", "(entry->kind == GROUP && append_number(self->absent, entry->place) < 0)", "0"),
        (
            "a counter may have a slot beyond the last",
            "return is_in(row[PLACE], 0, slots - 1) && row[REQUIRED]",
            "return is_in(row[PLACE], 0, slots) && row[REQUIRED]",
        ),
        (
            "a group may hold itself",
            "is_in(row[FROM], self->label != NULL, self->nodes_made - 1)",
            "is_in(row[FROM], self->label != NULL, self->nodes_made)",
        ),
    )
)
"""Each is a mistake that somebody could make in a minute."""


def is_noticed(bug: Bug | None) -> bool:
    """Whether the accelerator's test fails on a copy of the package with a bug in it, or with none."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "harness" / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if bug is not None:
            source = copy / SOURCE
            text = source.read_text(encoding="utf-8")
            assert text.count(bug.right) == 1, f"{bug.name}: the text occurs {text.count(bug.right)} times"
            source.write_text(text.replace(bug.right, bug.wrong), encoding="utf-8")
        _build(copy)
        skipped = shutil.ignore_patterns("__pycache__", "conftest.py")
        shutil.copytree(ROOT / "tests", Path(folder) / "tests", ignore=skipped)
        options = [
            "-x",
            "-q",
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            folder,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "tests/judge/test_accelerator.py"],
            cwd=folder,
            capture_output=True,
            check=False,
            env=os.environ
            | {"PYTHONPATH": f"{folder}{os.pathsep}{Path(folder) / 'harness'}", "PYTHONDONTWRITEBYTECODE": "1"},
        )
    name = "no bug" if bug is None else bug.name
    assert done.returncode in (0, 1), f"{name}: {done.stdout.decode()[-2000:]}"  # 2: they did not even start
    return done.returncode == 1


def _build(package: Path) -> None:
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    hook = module_from_spec(spec)
    spec.loader.exec_module(hook)
    why = hook.build(package / SOURCE, package / "judge" / hook.file_name())
    assert why is None, why
