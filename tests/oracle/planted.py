"""
Bugs planted in the judge itself, one at a time: is each noticed by the tests of this folder?

A bug is one replacement in a copy of the package. The original text must occur exactly once, so a bug that a change of
the code has made meaningless is an error here, and not a bug that nobody notices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"


@dataclass(frozen=True, slots=True)
class Bug:
    """In `file`, `right` becomes `wrong`; `tests` are the modules of this folder that ought to notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


ORDER: Final = "test_order"
BODIES: Final = "test_documents"
TORN: Final = "test_torn"
MUTANTS: Final = "test_mutants"
JUDGE: Final = "../judge/test_pipeline"

BUGS: Final = (
    Bug(
        "equal times count as before",
        "judge/counter_history.py",
        "if latest.known_ns < sent_ns else",
        "if latest.known_ns <= sent_ns else",
        ORDER,
    ),
    Bug(
        "old versions: equal times",
        "judge/counter_history.py",
        "            if version.known_ns < sent_ns:",
        "            if version.known_ns <= sent_ns:",
        ORDER,
    ),
    Bug(
        "an overlapping response counts",
        "judge/counter_history.py",
        "base = latest if latest.known_ns < sent_ns else self.maxima_before(sent_ns)",
        "base = latest",
        ORDER,
    ),
    Bug(
        "the last value, not the largest",
        "judge/counter_history.py",
        "            mine = tuple(map(max, most, mine))\n            if mine == most:\n                return None\n        return mine",
        "        return mine",
        ORDER,
    ),
    Bug(
        "a block in which a counter fell is passed over",
        "judge/counter_history.py",
        "            mine = tuple(map(max, most, mine))\n            if mine == most:\n                return None\n",
        "            return None\n",
        ORDER,
    ),
    Bug(
        "falls to zero are passed over",
        "judge/counter_history.py",
        "        if 0 <= new < old\n    ]",
        "        if 0 < new < old\n    ]",
        ORDER,
    ),
    Bug(
        "masked counters fall",
        "judge/counter_history.py",
        "        if 0 <= new < old\n    ]",
        "        if new < old\n    ]",
        ORDER,
    ),
    Bug(
        "holders are worked out wrongly",
        "judge/counter_history.py",
        "self._resolve_first_holders(labels, chain, [[*map(version.labels.get, labels)] for version in chain])",
        "self._resolve_first_holders(labels, chain, [[self.labels.get(label) for label in labels] for version in chain])",
        JUDGE,
    ),
    Bug(
        "the nearest holder, not the first",
        "judge/counter_history.py",
        "            if counters is None or counters[counter] != value:",
        "            if True:",
        ORDER,
    ),
    Bug(
        "versions are let go too early",
        "judge/counter_history.py",
        "open_sent_ns[place] <= following.known_ns",
        "open_sent_ns[place] < following.known_ns - 1",
        ORDER,
    ),
    Bug(
        "the horizon is not looked at",
        "judge/counter_history.py",
        "following.known_ns >= horizon_ns",
        "following.known_ns > horizon_ns + 1",
        ORDER,
    ),
    Bug(
        "labels never start afresh",
        "judge/counter_history.py",
        "                    floors[label] = received_ns\n",
        "                    pass\n",
        ORDER,
    ),
    Bug(
        "labels: a response that overlaps the gap counts",
        "judge/counter_history.py",
        "            if sent_ns > floor:",
        "            if True:",
        ORDER,
    ),
    Bug(
        "labels are not compared",
        "judge/counter_history.py",
        "                    falls += _find_decreases(label, before, mine, base)",
        "                    pass",
        ORDER,
    ),
    Bug(
        "clocks are mixed up",
        "judge/pipeline.py",
        "state = self._states.get((run, clock))",
        "clock = 'one'\n        state = self._states.get((run, clock))",
        ORDER,
    ),
    Bug(
        "runs are mixed up",
        "judge/pipeline.py",
        "state = self._states.get((run, clock))",
        "run = 'one'\n        state = self._states.get((run, clock))",
        ORDER,
    ),
    Bug(
        "the first group is not compared",
        "judge/edition_decoder.py",
        "        index = 0\n        for group in self.edition.root.walk_groups():",
        "        index = 0\n        for group in list(self.edition.root.walk_groups())[4:]:",
        MUTANTS,
    ),
    Bug(
        "counters of 64 bits",
        "judge/counter_history.py",
        "        known = latest.blocks\n",
        "        known = latest.blocks\n        for i, b in enumerate(blocks):\n            blocks[i] = b and tuple((c + 2**63) % 2**64 - 2**63 for c in b)\n",
        ORDER,
    ),
    Bug(
        "negative counters",
        "judge/edition_decoder.py",
        "msgspec.Meta(ge=field.minimum, le=field.maximum)",
        "msgspec.Meta(le=field.maximum)",
        BODIES,
    ),
    Bug(
        "unknown keys pass",
        "judge/edition_decoder.py",
        "forbid_unknown_fields=True",
        "forbid_unknown_fields=False",
        BODIES,
    ),
    Bug(
        "bytes are counted as characters",
        "judge/shape_deviations.py",
        'len(value.encode("utf-8", "surrogatepass")) > most',
        "len(value) > most",
        BODIES,
    ),
    Bug(
        "the calendar is not looked at",
        "judge/shape_deviations.py",
        "    except ValueError:\n        return False\n    return True",
        "    except ValueError:\n        return True\n    return True",
        BODIES,
    ),
    Bug(
        "numbers of any length",
        "api/strict_json.py",
        "        if len(digits) > MAX_DIGITS:\n"
        '            exceed(f"a number of {len(digits)} digits", digits)\n'
        "            return Decimal()\n",
        "",
        BODIES,
    ),
    Bug(
        "depth is counted from the value on",
        "judge/lenient_values.py",
        "    document = strict_json.parse_strict_json(bytes(raw), depth=len(path) + (index is not None))",
        "    document = strict_json.parse_strict_json(bytes(raw))",
        BODIES,
    ),
    Bug("half a surrogate passes", "api/strict_json.py", '        text.encode("utf-8")\n', "        pass\n", BODIES),
    Bug(
        "repeated keys are not looked for",
        "judge/sample_reader.py",
        "            if not scan or not parse_strict_json(body).duplicates:",
        "            if True:",
        BODIES,
    ),
    Bug(
        "a hidden value may be no JSON",
        "api/strict_json.py",
        "                _, again, members = repeated[id(node)]",
        "                _, again, _ = repeated[id(node)]",
        BODIES,
    ),
    Bug(
        "relations: less for less or equal",
        "judge/checks/relations.py",
        '        if self.operator == "<=":\n            return left > right',
        '        if self.operator == "<=":\n            return left >= right',
        TORN,
    ),
    Bug(
        "relations: torn reads accuse",
        "judge/checks/relations.py",
        "        return None if low is None else left < low",
        "        return True",
        TORN,
    ),
    Bug(
        "relations: too lenient",
        "judge/checks/relations.py",
        "    return None if high is None else left > high\n\n",
        "    return None if high is None else left > 2 * high\n\n",
        TORN,
    ),
)
"""Each is a mistake that somebody could make in a minute."""

ACCELERATOR: Final = "judge/_accelerator.c"

BUGS_IN_C: Final = tuple(
    Bug(name, ACCELERATOR, right, wrong, "test_accelerator")
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
            "value > entry->most) {\n        return NULL;\n    }\n    return is_wanted",
            "value > entry->most + 1) {\n        return NULL;\n    }\n    return is_wanted",
        ),
        (
            "bytes that are no UTF-8",
            "if (p == NULL || (plain.ascii && !is_wanted(entry))) {",
            "if (p == NULL || !is_wanted(entry)) {",
        ),
        ("control characters in strings", "if (byte < 0x20 || byte == '\\\\') {", "if (byte == '\\\\') {"),
        ("whatever follows the end", "if (p != self->end) {", "if (p == NULL) {"),
        ("words that begin like a known one", "plain.length == word->length &&", "plain.length >= word->length &&"),
        (
            "the last counter never moves",
            "memcmp(((Counters *)counters)->values, values, (size_t)count * sizeof(uint64_t)) == 0;",
            "memcmp(((Counters *)counters)->values, values, (size_t)(count - 1) * sizeof(uint64_t)) == 0;",
        ),
        ("leaves of labels never change", "PyObject_RichCompareBool(leaves, before, Py_EQ);", "1;"),
        (
            "a label that has come is not told",
            "labels != NULL && PyTuple_GET_SIZE(labels) == PyList_GET_SIZE(self->labels_read);",
            "labels != NULL && PyTuple_GET_SIZE(labels) <= PyList_GET_SIZE(self->labels_read);",
        ),
        ("a fall is none", "return fell ? FALLEN : grew ? GROWN : SAME;", "return grew ? GROWN : SAME;"),
        (
            "any two are equal beside a tuple",
            "same = tuple == NULL ? -1 : PyObject_RichCompareBool(tuple, two, Py_EQ);",
            "same = 1;",
        ),
        ("relations of what is not there", "return !are_there(self, row->terms, row->left + row->right);", "return 0;"),
        (
            "only the left side has to be there",
            "are_there(self, row->terms, row->left + row->right);",
            "are_there(self, row->terms, row->left);",
        ),
        ("an excuse is none", "left > right && is_excused(self, row)", "0"),
        ("an excuse for all", "left > right && is_excused(self, row)", "left > right"),
        (
            "what is not there excuses nothing",
            "return bits != 0 || !are_there(self, excuses, row->unless);",
            "return bits != 0;",
        ),
        ("sums may overflow", "if (bits < LARGE) {", "if (1) {"),
        (
            "the latest holder, not the first",
            "while (step > 0 && ((Counters *)PyTuple_GET_ITEM(steps, step - 1))",
            "while (0 && ((Counters *)PyTuple_GET_ITEM(steps, step - 1))",
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
"""The same for the accelerator, which is built anew for each."""


def apply(bug: Bug, package: Path) -> None:
    """Plant a bug in a copy of the package."""
    file = package / bug.file
    text = file.read_text(encoding="utf-8")
    assert text.count(bug.right) == 1, f"{bug.name}: the text occurs {text.count(bug.right)} times in {bug.file}"
    file.write_text(text.replace(bug.right, bug.wrong), encoding="utf-8")


def build(package: Path) -> None:
    """Build the accelerator of a copy."""
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    hook = module_from_spec(spec)
    spec.loader.exec_module(hook)
    why = hook.build(package / ACCELERATOR, package / "judge" / hook.file_name())
    assert why is None, why


def survivors(bugs: tuple[Bug, ...] = (*BUGS, *BUGS_IN_C)) -> Iterator[tuple[Bug, bool]]:
    """Run the tests against each bug; gives the bug, and whether nobody noticed."""
    for bug in bugs:
        yield bug, passes(bug.tests, bug)


def passes(tests: str, bug: Bug | None = None) -> bool:
    """
    Whether a module of this folder, or the accelerator's, passes on a copy of the package, with a bug in it or without.

    Without, it has to: where a test fails anyway, it notices nothing. Those of this folder are run without the
    accelerator, which leaves much of the code out, and where they pass with it as well, for the rest.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "harness" / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if bug is not None:
            apply(bug, copy)
        in_c = tests == "test_accelerator"
        if in_c:
            build(copy)
        shutil.copytree(
            ROOT / "tests", Path(folder) / "tests", ignore=shutil.ignore_patterns("__pycache__", "conftest.py")
        )
        name = "no bug" if bug is None else bug.name
        return all(_passes(tests, name, Path(folder), pure=pure) for pure in ((False,) if in_c else (True, False)))


def _passes(tests: str, name: str, folder: Path, *, pure: bool) -> bool:
    file = f"tests/judge/{tests}.py" if tests == "test_accelerator" else f"tests/oracle/{tests}.py"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            str(folder),
            file,
        ],
        cwd=folder,
        capture_output=True,
        check=False,
        env=os.environ
        | {
            "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'harness'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SORA_HARNESS_PURE": "1" if pure else "",
        },
    )
    assert done.returncode in (0, 1), f"{name}: {done.stdout.decode()[-2000:]}"  # 2: they did not even start
    return done.returncode == 0
