# Compiler flags of the engine: the one place where they are written. csrc/Makefile includes this file and
# setup.py reads it, so it holds nothing but comments and lines of the form NAME = words.
#
# An ISA is one word in ISAS_<machine>, one CFLAGS_<isa> line and one file isa/<isa>.c.

# The kernels say where they fuse (v_fma); the compiler must not, or two inlined copies of one expression, say in
# training and in inference, could round differently.
FP_CONTRACT = -ffp-contract=off

# Never -ffast-math: linked into a shared object, it flips the whole process into flush-to-zero.
# No LTO: it may move code with an ISA's flags in front of the CPU detection.
CFLAGS_common = -std=c11 -O3 -fno-math-errno -fno-trapping-math -fno-lto -fvisibility=hidden -Wall -Wextra
CFLAGS_posix = -pthread

ISAS_x86_64 = baseline avx2 avx512vl avx512 avx512vnni
# Every aarch64 has Advanced SIMD: a baseline would be the same code again.
ISAS_aarch64 = neon
ISAS_other = baseline

# -falign-loops=64: a line of the operation cache, for loops that are entered at their top (those of tiles are not).
CFLAGS_baseline =
CFLAGS_avx2 = -mavx2 -mfma -falign-loops=64
CFLAGS_avx512vl = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=256 -falign-loops=64
CFLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512 -falign-loops=64
CFLAGS_avx512vnni = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mprefer-vector-width=512 -falign-loops=64
CFLAGS_neon =
