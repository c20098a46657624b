/* A pool of worker threads for whole sequences of work.
 *
 * frnn_parallel(task, context, n) runs task(context, i, n) for every i in 0..n-1, i = 0 on the calling thread. Tasks
 * must not wait for each other: the calling thread also runs those that no worker has begun when it is done with its own, and
 * all of them, one after another, when the pool serves another caller or a thread cannot be had, with the same results.
 *
 * frnn_parallel_together is for tasks that do wait for each other, at a barrier: it runs them all at the same time, or none
 * and returns 0.
 *
 * Workers spin for a bounded time between calls and then sleep. Waiting for each other pays only on cores that nobody else
 * wants: on others, every meeting may last a scheduler's slice. frnn_may_meet says whether to try, from how it went lately.
 * After fork the child starts with an empty pool.
 */
#ifndef FRNN_THREAD_POOL_H
#define FRNN_THREAD_POOL_H

#include <stdatomic.h>

typedef void (*frnn_task)(void *context, int index, int count);

void frnn_parallel(frnn_task task, void *context, int count);
int frnn_parallel_together(frnn_task task, void *context, int count);

/* Zeroed before use. A line of its own, so that waiting threads disturb nothing else. */
typedef struct frnn_barrier {
    _Alignas(64) atomic_int arrived;
    atomic_int phase;
    atomic_llong since; /* when they met last, or set out */
    atomic_llong slept; /* nanoseconds, of all who waited so long that they went to sleep, but for the first meeting */
} frnn_barrier;

/* Returns when `count` threads have come; what they wrote before is then seen by all of them. */
void frnn_barrier_wait(frnn_barrier *barrier, int count);

int frnn_may_meet(void);
/* How it went: a failure keeps threads apart for a while, and for longer if it was not the first in a row. */
void frnn_have_met(int smoothly);

#define FRNN_MAX_THREADS 256

#endif
