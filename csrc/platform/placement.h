/* Where a sleeping thread wakes. Linux may put it on the core of the thread that wakes it and leave it there, although
 * another core is idle: the two then take turns, and two threads are no faster than one until the scheduler notices,
 * milliseconds later. So that core is forbidden to the sleeper for the moment of its waking. Elsewhere: nothing is done. */
#ifndef FRNN_PLACEMENT_H
#define FRNN_PLACEMENT_H

typedef struct {
    unsigned long bits[1024 / (8 * sizeof(unsigned long))]; /* as many as cpu_set_t has */
} frnn_cores;

/* The calling thread, for frnn_forbid_this_core. */
int frnn_thread_id(void);

/* Forbids the caller's core to `thread`, if `threads` threads then still find a core each; `allowed` is what
 * frnn_allow_cores gives back to it. Returns 0 and does nothing if that cannot be. */
int frnn_forbid_this_core(int thread, int threads, frnn_cores *allowed);

/* Lets the calling thread run on these cores. */
void frnn_allow_cores(const frnn_cores *allowed);

#endif
