# cython: language_level=3, auto_pickle=False, boundscheck=False, wraparound=True, cdivision=True
"""The compiled engine: the backend protocol of docs/protocols.md over csrc/fastrnn.h.

Checks dtype, shape, contiguity and range of whatever would otherwise touch foreign memory, takes pointers, and makes
one call without the GIL. Nothing is computed here.
"""

import os

import numpy as np

from fastrnn._types import CELL_COUNTS, CELLS, CellWeights

cimport numpy as cnp
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcpy, memmove, memset

cnp.import_array()

# One module, so that there is one engine. Its parts have the names of their counterparts in reference/, but for the
# first four, which have none.
include "native/engine.pxi"
include "native/machine.pxi"
include "native/memory.pxi"
include "native/arguments.pxi"
include "native/weights.pxi"
include "native/sequence.pxi"
include "native/linear.pxi"
include "native/embedding.pxi"
include "native/losses.pxi"
include "native/ctc.pxi"
include "native/optimizers.pxi"
include "native/streams.pxi"
