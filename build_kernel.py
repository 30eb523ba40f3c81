"""graphscope/capture/kernel.c -> a shared library beside it, where there is a C compiler; the package works without.

hatchling runs it for every wheel and editable install (pyproject.toml), the Makefile when the C file has changed:
``python build_kernel.py``. CC names another compiler, GRAPHSCOPE_KERNEL=0 leaves the kernel out.

A wheel with the library is for one platform and any Python (py3-none-<platform>), one without it for all.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("graphscope/capture/kernel.c")
# No -march=native: the library chooses its instructions when it is loaded. No -ffast-math: it counts NaN. What errno
# and the flags of floating point exceptions would say, nobody reads; keeping them up prevents vectors.
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
SECONDS = 300


def library_path(root: Path) -> Path:
    """As graphscope/capture/native.py looks for it."""
    return root / SOURCE.parent / f"_kernel.{sys.platform}-{platform.machine()}.so"


def compiler() -> list[str] | None:
    """The command of a C compiler that takes GCC's options, or None."""
    if os.environ.get("GRAPHSCOPE_KERNEL") == "0" or sys.platform == "win32":
        return None
    if named := shlex.split(os.environ.get("CC", "")):
        return named
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [found] if found else None


def build(root: Path) -> Path | None:
    """Compiles the kernel; None, with a line on stderr that says why, if that is not possible here."""
    target = library_path(root)
    command = compiler()
    if command is None:
        return _without("no C compiler", target)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="_kernel.") as folder:
        fresh = Path(folder) / "kernel.so"
        try:
            subprocess.run(
                [*command, *FLAGS, "-o", str(fresh), str(root / SOURCE)],
                check=True, capture_output=True, text=True, errors="replace", timeout=SECONDS,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            return _without(f"{command[0]} failed: {error.stderr.strip()[-500:]}", target)
        except (OSError, subprocess.TimeoutExpired) as error:
            return _without(f"{command[0]}: {error}", target)
        fresh.replace(target)  # whole or not at all; a process that has the old one open keeps it
    return target


def _without(reason: str, target: Path) -> None:
    target.unlink(missing_ok=True)
    print(f"GraphScope: statistics will be taken by torch operations, more slowly ({reason}).", file=sys.stderr)


def platform_tag() -> str:
    """Of a wheel for this machine alone, as pip accepts it here; not manylinux, which promises an old C library."""
    from packaging import tags

    return next(tag for tag in tags.platform_tags() if not tag.startswith(("manylinux", "musllinux")))


class KernelHook(BuildHookInterface):
    """hatchling's side of it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        library = build(Path(self.root))
        if library is not None and version == "standard":
            build_data["artifacts"].append(str(library.relative_to(self.root)))
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag()}"


if __name__ == "__main__":
    build(Path(__file__).parent)
