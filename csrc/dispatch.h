/* The kernels in use: chosen once, before threads exist, and read by everything above. */
#ifndef FRNN_DISPATCH_H
#define FRNN_DISPATCH_H

#include "kernel_table.h"

const frnn_kernels *frnn_kernels_for(int isa, int dtype);

/* Threads that work of this many floating-point operations is worth, at most `most` (a task cannot be split further). */
int frnn_threads_for(double flop, int64_t most);

#endif
