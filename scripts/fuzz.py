"""
The accelerator against the reader in Python, with random editions and random bodies, for as long as it is told.

The accelerator is built anew for this, with gcc's AddressSanitizer and UndefinedBehaviorSanitizer, into a temporary
folder: what leaves its memory ends the run even if all findings are right. The cases in tests/data/fuzz/ come first, and
then new ones: each seed is one case (tests/fuzzing.py), and gives the same case again. A case that fails is written to
build/fuzz/, from where it belongs into tests/data/fuzz/, so that the tests read it from then on.

    python scripts/fuzz.py [--duration 10m] [--seed NUMBER] [--cases NUMBER]

Exit code 1 where something differs or crashes, 2 where the accelerator can't be built or run so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "harness")]

SOURCE: Final = ROOT / "harness" / "sora_stats_harness" / "judge" / "_accelerator.c"
MODULE: Final = "sora_stats_harness.judge._accelerator"
KEPT: Final = ROOT / "build" / "fuzz"

FLAGS: Final = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

START_S: Final = 300.0
"""How long the first case is waited for."""

TELL_S: Final = 60.0
"""From one line about the progress to the next."""


def main() -> int:
    """Build, and fuzz in another process: the sanitizers have to be there before Python is."""
    from sora_stats_harness.api.option_values import parse_duration

    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0] if __doc__ else None)
    parser.add_argument("--duration", type=parse_duration, default=600.0)
    parser.add_argument("--seed", type=int, default=int(time.time()) * 1000, help="of the first case")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="new ones at most")
    parser.add_argument("--module", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.module is not None:
        return fuzz(given.module, given.progress, range(given.seed, given.seed + given.cases), given.duration)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return fuzz_sanitized(Path(folder), given)


def fuzz_sanitized(folder: Path, given: argparse.Namespace) -> int:
    """Run `fuzz` with the sanitizers; what a crash was about is told by its progress."""
    library = sanitizer_library()
    hook = load_module("hatch_build", ROOT / "hatch_build.py")
    built, progress = folder / hook.file_name(), folder / "case"
    os.environ["CC"] = "gcc"  # whose library it is
    problem = hook.build(SOURCE, built, FLAGS) if library is not None else "gcc has no AddressSanitizer here"
    if problem is not None:
        print(f"the accelerator can't be built with sanitizers: {problem}", file=sys.stderr)
        return 2
    command = [sys.executable, __file__, "--module", str(built), "--progress", str(progress)]
    options = {"seed": given.seed, "cases": given.cases, "duration": f"{given.duration:g}s"}
    done = subprocess.Popen(
        [*command, *(f"--{name}={value}" for name, value in options.items())],
        env=os.environ
        | {
            "LD_PRELOAD": str(library),
            # Python keeps much until it ends
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:quarantine_size_mb=64",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",  # else most of a buffer's neighbours are in the same block of memory
            "SORA_HARNESS_PURE": "",
        },
    )
    began_s = time.monotonic()
    while done.poll() is None and not progress.exists():
        if time.monotonic() > began_s + START_S:
            done.kill()
        time.sleep(0.1)
    code = done.wait()
    if code in (0, 1):
        return code
    if code == -signal.SIGKILL or not progress.exists():  # some kernels place memory where a sanitizer wants its own
        print(f"exit code {code}: the sanitizers can't be run here, or there is too little memory", file=sys.stderr)
        return 2
    case = progress.read_text()
    print(f"exit code {code}, at the case {case}", file=sys.stderr)
    if case.isdecimal():
        keep(int(case))
    return 1


def sanitizer_library() -> Path | None:
    """The library that has to be loaded before all others."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    done = subprocess.run([gcc, "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    path = Path(done.stdout.strip())
    return path.resolve() if path.is_absolute() else None


def load_module(name: str, path: Path) -> ModuleType:
    """Load a module from a file."""
    spec = spec_from_file_location(name, path)
    assert spec is not None, "it is a file that Python knows"
    assert spec.loader is not None, "as said"
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def fuzz(module: Path, progress: Path, seeds: range, duration_s: float) -> int:
    """Check the cases that are kept, then draw and check new ones until the time is over, or one fails."""
    import sora_stats_harness.judge

    sora_stats_harness.judge._accelerator = load_module(MODULE, module)  # type: ignore[attr-defined]  # in place of the usual one
    from tests import fuzzing

    counted: Counter[str] = Counter()
    for name, case in fuzzing.corpus().items():
        progress.write_text(name)
        try:
            fuzzing.check(case, counted)
        except Exception:
            traceback.print_exc()
            print(f"in tests/data/fuzz/{name}.json", file=sys.stderr)
            return 1
    progress.write_text("layouts with one wrong number")
    fuzzing.check_wrong_numbers()
    print(f"{len(fuzzing.corpus())} cases that are kept, then seeds from {seeds.start} on", flush=True)
    began_s = told_s = time.monotonic()
    for seed in seeds:
        if (now_s := time.monotonic()) >= began_s + duration_s:
            break
        progress.write_text(str(seed))
        try:
            fuzzing.check(fuzzing.draw(seed), counted)
            fuzzing.check_entries(seed)
        except Exception:
            traceback.print_exc()
            keep(seed)
            return 1
        if now_s >= told_s + TELL_S:
            told_s = now_s
            print(describe(counted), flush=True)
    print(describe(counted), flush=True)
    return 0


def keep(seed: int) -> None:
    """Write down the case of a seed."""
    from tests import fuzzing

    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{seed}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(fuzzing.draw(seed)), indent=1))
    print(f"seed {seed}: the case is in {path}", file=sys.stderr)


def describe(counted: Counter[str]) -> str:
    """
    What was done.

    >>> describe(Counter(cases=1200, accepted=7))
    '1,200 cases, 7 accepted'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counted.items())


if __name__ == "__main__":
    sys.exit(main())
