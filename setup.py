"""Builds ``fastrnn._core``, linked with a library per instruction set, and ``fastrnn.layers.parameter``.

What is not compilation is declared in ``pyproject.toml``; the compiler flags are in ``csrc/flags.mk``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

CSRC = Path("csrc")
FLAGS = {
    name: words.split()
    for name, words in re.findall(r"^(\w+) *=(.*)$", (CSRC / "flags.mk").read_text("utf-8"), re.MULTILINE)
}


def target_machine() -> str:
    """Name in flags.mk of the machine that the build is for, cross builds included."""
    if sys.platform == "darwin":
        # A universal2 Python compiles for both machines at once unless told otherwise, and the flags of an
        # ISA are those of one machine.
        archflags = os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")
        archs = set(re.findall(r"-arch\s+(\S+)", archflags)) or {platform.machine()}
        if len(archs) > 1:
            raise PlatformError(
                f"ARCHFLAGS={archflags!r} names {len(archs)} machines; fastrnn is built for one at a time, "
                "for instance ARCHFLAGS='-arch arm64'"
            )
        name = archs.pop()
    else:
        name = sysconfig.get_platform().rpartition("-")[2]  # linux-x86_64, win-amd64, ...
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def prepare(compiler: Any) -> bool:
    """Make distutils' MSVC driver call clang-cl; say whether that is the driver in use.

    The kernels are written in GCC's vector extensions, which MSVC's own compiler does not have.
    """
    if compiler.compiler_type != "msvc":
        return False
    if not compiler.initialized:
        compiler.initialize()
    clang_cl = shutil.which("clang-cl") or shutil.which("clang-cl", path=compiler._paths)
    if clang_cl is None:
        raise PlatformError(
            "fastrnn needs clang-cl on Windows (MSVC's cl.exe has no vector extensions) and found none: "
            "winget install LLVM.LLVM, or add the component 'C++ Clang tools' to Visual Studio"
        )
    compiler.cc = clang_cl
    compiler.compile_options = [option for option in compiler.compile_options if option.upper() != "/GL"]
    return True


def spelled(flags: list[str], msvc: bool) -> list[str]:
    """Write flags the way the compiler driver takes them."""
    return [f"/clang:{flag}" for flag in flags] if msvc else flags


class BuildEngine(build_clib):
    """Compile the libraries side by side: the units of the instruction sets take nearly all the time."""

    def build_libraries(self, libraries: list[tuple[str, dict[str, Any]]]) -> None:
        msvc = prepare(self.compiler)
        for _, build_info in libraries:
            build_info["cflags"] = spelled(build_info["cflags"], msvc)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda library: super(BuildEngine, self).build_libraries([library]), libraries))


class BuildExtension(build_ext):
    """Translate the flags for the compiler that distutils found."""

    def build_extension(self, ext: Extension) -> None:
        msvc = prepare(self.compiler)
        ext.extra_compile_args = spelled(ext.extra_compile_args, msvc)
        super().build_extension(ext)


POSIX = os.name == "posix"
ISAS = FLAGS.get(f"ISAS_{target_machine()}", FLAGS["ISAS_other"])
# Python's own flags ask for debugging information, five sixths of the module. csrc/Makefile is for debuggers.
NO_DEBUG = ["-g0"]
# Whatever an edit may touch: distutils does not follow includes.
DEPENDS = ["setup.py", *sorted(str(path) for pattern in ("**/*.h", "*.mk") for path in CSRC.glob(pattern))]


def library(name: str, sources: list[Path], flags: list[str]) -> tuple[str, dict[str, Any]]:
    """Describe a static library of the engine as setuptools' ``libraries`` wants it."""
    common = (
        FLAGS["CFLAGS_common"] + FLAGS["FP_CONTRACT"] + (FLAGS["CFLAGS_posix"] if POSIX else []) + NO_DEBUG
    )
    build_info = {
        "sources": [str(source) for source in sources],
        "include_dirs": [str(CSRC)],
        # isa_list.h lists the instruction sets that are built.
        "macros": [(f"FRNN_HAVE_{isa}", "1") for isa in ISAS],
        "cflags": common + flags,
        "obj_deps": {"": DEPENDS},
    }
    return f"fastrnn_{name}", build_info


libraries = [library("common", sorted([*CSRC.glob("*.c"), *CSRC.glob("platform/*.c")]), [])]
libraries += [library(isa, [CSRC / "isa" / f"{isa}.c"], FLAGS[f"CFLAGS_{isa}"]) for isa in ISAS]

core = Extension(
    "fastrnn._core",
    ["src/fastrnn/_core.pyx"],
    include_dirs=[str(CSRC), np.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", *NO_DEBUG],
    # The libraries refer to each other, and a linker of the GNU kind reads them once, in order. Setuptools
    # names all of them again after these.
    libraries=[name for name, _ in libraries] + (["m"] if POSIX else []),
    extra_link_args=FLAGS["CFLAGS_posix"] if POSIX else [],
    depends=[
        *DEPENDS,
        *sorted(map(str, Path("src/fastrnn/native").glob("*.pxi"))),
        *(source for _, build_info in libraries for source in build_info["sources"]),
    ],
)
parameter = Extension(
    "fastrnn.layers.parameter",
    ["src/fastrnn/layers/parameter.pyx"],
    extra_compile_args=["-O2", "-fvisibility=hidden", *NO_DEBUG],
    depends=["setup.py"],
)
for extension in (core, parameter):
    extension.cython_directives = {"language_level": 3}
    extension.cython_c_in_temp = True

setup(
    ext_modules=[core, parameter],
    libraries=libraries,
    cmdclass={"build_clib": BuildEngine, "build_ext": BuildExtension},
)
