/* A pool of worker threads for whole sequences of work.
 *
 * frnn_parallel(task, context, n) runs task(context, i, n) for every i in 0..n-1, i = 0 on the calling thread. Tasks
 * must not wait for each other: when the pool serves another caller, or a thread cannot be had, the calling thread runs
 * them all one after another, with the same results.
 *
 * Workers spin for a bounded time between calls and then sleep. After fork the child starts with an empty pool.
 */
#ifndef FRNN_THREAD_POOL_H
#define FRNN_THREAD_POOL_H

typedef void (*frnn_task)(void *context, int index, int count);

void frnn_parallel(frnn_task task, void *context, int count);

#define FRNN_MAX_THREADS 256

#endif
