"""
Builds the accelerator, where there is a C compiler; without one the package is whole, and judges in Python.

Hatchling calls this for every wheel. `SORA_HARNESS_ACCELERATOR=required` makes a failure an error, for whoever publishes
wheels. `SORA_HARNESS_REPOSITORY`, such as https://github.com/NAME/sora-stats-harness, says where the project is published:
the metadata has its URLs, and the links of README, which a package index shows, lead there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PRODUCT_URL = "https://sora.shiguredo.jp/"


class AcceleratorHook(BuildHookInterface):
    """Hatchling's hook; the names of its methods are Hatchling's."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile: for an editable install beside the source, for a wheel into a folder of its own."""
        if self.target_name != "wheel":
            return
        package = Path(self.root) / "harness" / "sora_stats_harness" / "judge"
        name = file_name()
        editable = version == "editable"
        folder = package if editable else Path(tempfile.mkdtemp(prefix="accelerator-"))
        built = folder / name
        built.unlink(missing_ok=True)  # of an older source
        why = build(package / "_accelerator.c", built)
        if why is not None:
            if os.environ.get("SORA_HARNESS_ACCELERATOR") == "required":
                raise RuntimeError(f"the accelerator cannot be built: {why}")
            self.app.display_warning(f"without the accelerator, and everything is judged in Python: {why}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if not editable:
            build_data["force_include"][str(built)] = f"sora_stats_harness/judge/{name}"


class MetadataHook(MetadataHookInterface):
    """Hatchling's hook for what pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add README and URLs."""
        repository = os.environ.get("SORA_HARNESS_REPOSITORY", "").rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        urls = {"WebRTC SFU Sora": PRODUCT_URL}
        if repository:
            text = absolute_links(text, repository)
            urls |= {
                "Homepage": repository,
                "Documentation": f"{repository}/tree/main/docs",
                "Changelog": f"{repository}/blob/main/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls


def absolute_links(text: str, repository: str) -> str:
    """README with its links and pictures as URLs of the repository."""

    def absolute(match: re.Match[str]) -> str:
        kind = "raw" if match["picture"] else "blob"
        return f"{match['picture']}[{match['text']}]({repository}/{kind}/main/{match['path']})"

    return re.sub(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?![a-z]+:|#)[^)\s]+)\)", absolute, text)


def file_name() -> str:
    """What this Python takes for a module in C."""
    return f"_accelerator{sysconfig.get_config_var('EXT_SUFFIX')}"


def build(source: Path, built: Path, flags: Sequence[str] = ("-O3", "-DNDEBUG")) -> str | None:
    """Compile; why it could not be built, None if it was."""
    linker = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    linker[0] = os.environ.get("CC") or linker[0]
    options = shlex.split(sysconfig.get_config_var("CCSHARED") or "")
    include = sysconfig.get_paths()["include"]
    usual = ["-fvisibility=hidden", f"-I{include}"]
    command = [*shlex.split(linker[0]), *linker[1:], *options, *flags, *usual, str(source), "-o", str(built)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # the compiler that built Python
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    if done.returncode != 0 or not built.is_file():
        return next((line for line in done.stderr.splitlines() if "error" in line), f"{command[0]} failed")
    return None
