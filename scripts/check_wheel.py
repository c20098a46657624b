"""Check what a wheel holds: size, types, licence, and nothing that only a build needs."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

LIMIT = 3_000_000
MODULES = ("fastrnn/_core", "fastrnn/layers/parameter")
TYPES = ("fastrnn/py.typed", *(f"{module}.pyi" for module in MODULES))
WANTED = ("fastrnn/__init__.py", ".dist-info/licenses/LICENSE", *TYPES)
UNWANTED = (".c", ".h", ".pyx", ".pxi", ".mk", ".o", ".a")


def problems(path: Path) -> list[str]:
    """Everything that is wrong with a wheel."""
    size = path.stat().st_size
    names = zipfile.ZipFile(path).namelist()
    found = [] if size < LIMIT else [f"{size} bytes; the limit is {LIMIT}"]
    found += [f"{wanted} is missing" for wanted in WANTED if not any(name.endswith(wanted) for name in names)]
    found += [f"{name} does not belong there" for name in names if name.endswith(UNWANTED)]
    for module in MODULES:
        if not any(name.startswith(f"{module}.") and name.endswith((".so", ".pyd")) for name in names):
            found.append(f"the extension module {module} is missing")
    return found


if __name__ == "__main__":
    wheels = [Path(argument) for argument in sys.argv[1:]]
    for wheel in wheels:
        found = problems(wheel)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB", *found, sep="\n  ")
        if found:
            raise SystemExit(1)
