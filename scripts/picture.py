"""
Take the picture of report.html that the READMEs show: a run on a simulator of which one counter falls once, in Chromium.

`make picture` writes docs/img/report.png again. It needs a Chromium and the extra `browser`.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "harness")]

from tests.browser.chromium import launched, missing, opened  # noqa: E402  # found by the path set above

PICTURE: Final = ROOT / "docs" / "img" / "report.png"
WIDTH: Final = 1280
MAX_BYTES: Final = 150_000

RUN: Final = ("conform", "--duration", "2", "--fault", "counter-falls:times=1", "--label", "build=2024.2.0-rc3")


def main() -> int:
    """Run the gate, open its report, and write the part from the verdict to the end of the first finding."""
    if why := missing():
        print(f"no picture can be taken: {why}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sora_stats_harness", *RUN, "--output", str(Path(folder) / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode != 1:
            print(
                f"the run should have failed for the fault, and ended with {done.returncode}:\n{done.stderr}",
                file=sys.stderr,
            )
            return 1
        address = (Path(folder) / "run" / "report.html").as_uri()
        with launched() as browser, opened(browser, scripts=False) as shown:
            shown.show(address).as_seen("light", WIDTH)
            bottom = shown.page.evaluate("document.getElementById('finding-1').getBoundingClientRect().bottom")
            taken = shown.page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom + 16})
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    # A page has few colours: a palette makes a third of the bytes, and nobody sees it.
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    size = PICTURE.stat().st_size
    print(f"{PICTURE.relative_to(ROOT)}: {size:,} bytes")
    return 0 if size <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
