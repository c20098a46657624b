/* Large pages (Linux: transparent huge pages, which many systems give only to those who ask). */
#ifndef FRNN_PAGES_H
#define FRNN_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "platform/compiler.h"

#if defined(__linux__)

#include <sys/mman.h>

#ifndef MADV_HUGEPAGE
#define MADV_HUGEPAGE 14
int madvise(void *, size_t, int); /* hidden by strict C11 */
#endif
#define FRNN_LARGE_PAGE ((uintptr_t)2 << 20)

FRNN_INLINE void frnn_advise_large_pages(void *memory, size_t bytes)
{
    const uintptr_t first = ((uintptr_t)memory + FRNN_LARGE_PAGE - 1) & ~(FRNN_LARGE_PAGE - 1);
    const uintptr_t last = ((uintptr_t)memory + bytes) & ~(FRNN_LARGE_PAGE - 1);
    if (first < last)
        (void)madvise((void *)first, last - first, MADV_HUGEPAGE); /* refused where there are none: nothing is lost */
}

#else

FRNN_INLINE void frnn_advise_large_pages(void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}

#endif

#endif
