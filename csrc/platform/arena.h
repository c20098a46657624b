/* A bump allocator over the caller's bytes. With base NULL it only counts, so that the query for a size and the carving
 * of it are one piece of code. */
#ifndef FRNN_ARENA_H
#define FRNN_ARENA_H

#include <stddef.h>

#include "fastrnn.h"
#include "platform/compiler.h"

typedef struct frnn_arena {
    char *base;
    size_t used;
} frnn_arena;

FRNN_INLINE void *frnn_take(frnn_arena *arena, size_t bytes)
{
    void *p = arena->base ? arena->base + arena->used : NULL;
    arena->used += (bytes + FRNN_ALIGNMENT - 1) / FRNN_ALIGNMENT * FRNN_ALIGNMENT;
    return p;
}

#endif
