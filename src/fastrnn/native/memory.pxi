# Aligned blocks that outlive a call only in a small cache, so that a training step does not fault in the same pages
# again and again. When sizes change, idle blocks go before new ones come: together they exceed the most that calls ever
# needed at a time by an eighth and CACHE_SLACK at most.

cdef enum:
    CACHE_BLOCKS = 16
    CACHE_SLACK = 1 << 20

ctypedef struct _Block:
    void *base
    size_t size

cdef size_t _cache_limit = <size_t>256 << 20
cdef _Block[CACHE_BLOCKS] _cache  # idle blocks, oldest first; touched with the GIL held
cdef int _blocks = 0
cdef size_t _cached = 0           # bytes of idle blocks
cdef size_t _held = 0             # bytes of blocks in use
cdef size_t _needed = 0           # what was asked for of them
cdef size_t _most_needed = 0


cdef _Block _uncache(int i) noexcept:
    global _blocks, _cached
    cdef _Block block = _cache[i]
    _blocks -= 1
    _cached -= block.size
    memmove(&_cache[i], &_cache[i + 1], (_blocks - i) * sizeof(_Block))
    return block


cdef class Buffer:
    """Aligned memory of at least the size asked for; when the last reference goes, it is kept for reuse or freed."""

    cdef _Block block
    cdef size_t size
    cdef void *data

    def __dealloc__(self):
        global _blocks, _cached, _held, _needed
        if self.block.base == NULL:
            return
        _held -= self.block.size
        _needed -= self.size
        if self.block.size > _cache_limit:
            PyMem_RawFree(self.block.base)
            return
        while _blocks == CACHE_BLOCKS or _cached + self.block.size > _cache_limit:
            PyMem_RawFree(_uncache(0).base)
        _cache[_blocks] = self.block
        _blocks += 1
        _cached += self.block.size


cdef Buffer _allocate(size_t size):
    global _held, _needed, _most_needed
    cdef Buffer buffer = Buffer.__new__(Buffer)
    cdef int i
    size = size + FRNN_ALIGNMENT
    cdef size_t most = max(_most_needed, _needed + size)
    for i in range(_blocks - 1, -1, -1):
        if size <= _cache[i].size <= 2 * size + 4096:
            buffer.block = _uncache(i)
            break
    else:
        while _blocks > 0 and _held + _cached + size > most + most // 8 + CACHE_SLACK:
            PyMem_RawFree(_uncache(0).base)
        buffer.block.base = PyMem_RawMalloc(size)
        if buffer.block.base == NULL:
            raise MemoryError(f"fastrnn could not allocate {size} bytes")
        frnn_prefer_large_pages(buffer.block.base, size)
        buffer.block.size = size
    buffer.size = size
    _held += buffer.block.size
    _needed += size
    _most_needed = most
    buffer.data = <void *>((<uintptr_t>buffer.block.base + FRNN_ALIGNMENT - 1) & ~<uintptr_t>(FRNN_ALIGNMENT - 1))
    return buffer


cdef enum:
    POOLED_BYTES = 1 << 17


cdef cnp.ndarray _empty(int ndim, cnp.npy_intp *shape, int type_number):
    """An array for results. Large ones lie in blocks of the cache too: their pages have been touched before."""
    cdef size_t bytes = 4 if type_number == cnp.NPY_FLOAT32 else 8
    cdef int i
    cdef Buffer buffer
    cdef cnp.ndarray array
    for i in range(ndim):
        bytes *= shape[i]
    if bytes < POOLED_BYTES:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, 0)
    buffer = _allocate(bytes)
    array = cnp.PyArray_SimpleNewFromData(ndim, shape, type_number, buffer.data)
    cnp.set_array_base(array, buffer)
    return array
