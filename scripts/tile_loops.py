"""What the compiler made of the loops that multiply: ``python scripts/tile_loops.py OBJECT [OBJECT ...]``.

Give it objects of ``csrc/isa``, such as ``build/temp.*/csrc/isa/avx512.o``; it needs ``objdump``. For every
innermost loop with multiply-adds it prints how many instructions and multiply-adds a turn has, and how many
that should not be there: a vector or a pointer on the stack, a vector moved to another register, a pointer
kept in a vector register.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

FUNCTION = re.compile(r"^[0-9a-f]+ <(\S+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*?)\s*$")
JUMP = re.compile(r"^(?:j\w+|b\.\w+|cbn?z|tbn?z)\s+(?:.*,\s*)?([0-9a-f]+)\b")
MULTIPLY_ADD = re.compile(r"^(?:vfn?madd|fmla)")
STRAY = re.compile(r"^(?:.*\((?:%rsp|%rbp)|.*\[sp\b|vmov[adq]\S*\s+%[xyz]mm\d+,%|vmovq\s+%r)")


def functions(path: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Name, and address and text of every instruction, of each function of an object."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", path]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name, body = "", list[tuple[int, str]]()
    for line in listing.splitlines():
        if start := FUNCTION.match(line):
            yield name, body
            name, body = start[1], []
        elif instruction := INSTRUCTION.match(line):
            body.append((int(instruction[1], 16), instruction[2]))
    yield name, body


def innermost_loops(body: list[tuple[int, str]]) -> Iterator[list[str]]:
    """Jump backwards to jump backwards, with no jump between them."""
    place = {address: i for i, (address, _) in enumerate(body)}
    for end, (_, text) in enumerate(body):
        jump = JUMP.match(text)
        start = place.get(int(jump[1], 16), end) if jump else end
        turn = [text for _, text in body[start : end + 1]]
        if start < end and not any(JUMP.match(text) for text in turn[:-1]):
            yield turn


def main(paths: list[str]) -> int:
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    for path in paths:
        for name, body in functions(path):
            for turn in innermost_loops(body):
                fused = sum(bool(MULTIPLY_ADD.match(text)) for text in turn)
                if fused and re.match(r"tile_|outer_\d", name):
                    stray = sum(bool(STRAY.match(text)) for text in turn)
                    print(f"{name:24} {len(turn):4} instructions {fused:4} multiply-adds {stray:4} stray")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
