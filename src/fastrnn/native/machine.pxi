# Instruction sets, threads, and the loop of multiply-adds that is the peak.

def available_isas() -> tuple:
    """Names of the ISAs of this build that the machine runs, best first."""
    return tuple([_isa_names[i] for i in range(frnn_isa_count()) if frnn_isa_supported(i)])


cdef tuple _isa_names = tuple([frnn_isa_name(i).decode() for i in range(frnn_isa_count())])


def current_isa() -> str:
    """Name of the ISA in use."""
    return _isa_names[frnn_isa_current()]


cdef _start(str name, str what):
    cdef bytes encoded = name.encode()
    cdef int status = frnn_start(encoded)
    if status == FRNN_ISA_UNSUPPORTED:
        raise ValueError(f"{what} {name!r} cannot run on this machine; accepted: {', '.join(available_isas())}")
    if status != FRNN_OK:
        raise ValueError(f"{what} {name!r} is unknown; accepted: {', '.join(available_isas())}")


def set_isa(name: str) -> None:
    """Compute with this ISA from now on."""
    _start(name, "ISA")


def get_num_threads() -> int:
    """Most threads a call may use."""
    return frnn_get_num_threads()


cdef _set_num_threads(object n, str what):
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {n!r}")
    if not 1 <= n <= 256 or frnn_set_num_threads(n) != FRNN_OK:
        raise ValueError(f"{what} must be in 1..256, got {n}")


def set_num_threads(n: int) -> None:
    """Most threads a call may use from now on."""
    _set_num_threads(n, "n")


cdef _configure():
    _start(os.environ.get("FASTRNN_ISA", ""), "environment variable FASTRNN_ISA =")
    threads = os.environ.get("FASTRNN_NUM_THREADS", "")
    if threads:
        if not threads.isascii() or not threads.isdigit():
            raise ValueError(f"environment variable FASTRNN_NUM_THREADS must be an integer in 1..256, got {threads!r}")
        _set_num_threads(int(threads), "environment variable FASTRNN_NUM_THREADS")


_configure()


def fma_loop(dtype, int64_t iterations) -> float:
    """Run fused multiply-adds in registers on one thread; returns the floating-point operations done.

    Divided by the time it takes, it is the peak that benchmarks quote fractions of.
    """
    cdef int dtype_id = _dtype_id("dtype", np.empty(0, dtype))
    cdef double operations, sink
    with nogil:
        operations = frnn_fma_loop(dtype_id, iterations, &sink)
    return operations
