/* One job at a time. A job is published by one atomic word, a rising number with the job's thread count in its low bits:
 * a worker decides from that word alone whether the job is its own, and only then reads the job's fields, which stay
 * put until every worker of the job has finished. Workers the job does not need are not waited for. A worker keeps its
 * index, so that work and memory stay with their core; worker w serves index w + 1.
 *
 * Spinning is bounded (FRNN_SPIN pauses, some tens of microseconds) on both sides; whoever waits longer sleeps on a
 * condition. A process with more threads than cores therefore degrades to sleeping, never to burning its cores. */
#include "platform/thread_pool.h"

#include <stdatomic.h>
#include <stdint.h>

#include "platform/threads.h"

#define FRNN_SPIN 2000

static frnn_mutex owner = FRNN_MUTEX_INIT; /* held by the caller whose job runs */

static struct {
    frnn_mutex lock; /* guards sleeping: both conditions */
    frnn_condition work, done;
    atomic_ullong job;  /* number * (FRNN_MAX_THREADS + 1) + count */
    atomic_int pending; /* workers of it that have not finished */
    atomic_int sleepers;
    int workers; /* started; grows under `owner` */
    frnn_task task;
    void *context;
} pool = {.lock = FRNN_MUTEX_INIT, .work = FRNN_CONDITION_INIT, .done = FRNN_CONDITION_INIT};

static unsigned long long born_after[FRNN_MAX_THREADS]; /* the job that was out when a worker started */

FRNN_THREAD_FUNCTION worker(void *argument)
{
    const int index = (int)(intptr_t)argument + 1;
    unsigned long long seen = born_after[index - 1];
    for (;;) {
        for (int spin = 0; atomic_load(&pool.job) == seen && spin < FRNN_SPIN; spin++)
            frnn_pause();
        if (atomic_load(&pool.job) == seen) {
            frnn_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.sleepers, 1);
            while (atomic_load(&pool.job) == seen)
                frnn_condition_wait(&pool.work, &pool.lock);
            atomic_fetch_sub(&pool.sleepers, 1);
            frnn_mutex_unlock(&pool.lock);
        }
        seen = atomic_load(&pool.job);
        const int count = (int)(seen % (FRNN_MAX_THREADS + 1));
        if (index >= count)
            continue;
        pool.task(pool.context, index, count);
        if (atomic_fetch_sub(&pool.pending, 1) == 1) {
            frnn_mutex_lock(&pool.lock);
            frnn_condition_broadcast(&pool.done);
            frnn_mutex_unlock(&pool.lock);
        }
    }
    FRNN_THREAD_RETURN;
}

#if !defined(_WIN32)
static void forget_workers(void)
{
    const frnn_mutex mutex = FRNN_MUTEX_INIT;
    const frnn_condition condition = FRNN_CONDITION_INIT;
    owner = mutex;
    pool.lock = mutex;
    pool.work = condition;
    pool.done = condition;
    pool.workers = 0;
    atomic_store(&pool.pending, 0);
    atomic_store(&pool.sleepers, 0);
}
#endif

static void start_workers(int wanted)
{
#if !defined(_WIN32)
    static int fork_handler;
    if (!fork_handler)
        fork_handler = pthread_atfork(NULL, NULL, forget_workers) == 0;
#endif
    while (pool.workers < wanted) {
        born_after[pool.workers] = atomic_load(&pool.job);
        if (!frnn_thread_start(worker, (void *)(intptr_t)pool.workers))
            return;
        pool.workers++;
    }
}

void frnn_parallel(frnn_task task, void *context, int count)
{
    if (count > 1 && frnn_mutex_trylock(&owner)) {
        start_workers(count - 1);
        if (pool.workers >= count - 1) {
            pool.task = task;
            pool.context = context;
            atomic_store(&pool.pending, count - 1);
            const unsigned long long number = atomic_load(&pool.job) / (FRNN_MAX_THREADS + 1) + 1;
            atomic_store(&pool.job, number * (FRNN_MAX_THREADS + 1) + (unsigned)count);
            if (atomic_load(&pool.sleepers) > 0) {
                frnn_mutex_lock(&pool.lock);
                frnn_condition_broadcast(&pool.work);
                frnn_mutex_unlock(&pool.lock);
            }
            task(context, 0, count);
            for (int spin = 0; atomic_load(&pool.pending) > 0 && spin < FRNN_SPIN; spin++)
                frnn_pause();
            if (atomic_load(&pool.pending) > 0) {
                frnn_mutex_lock(&pool.lock);
                while (atomic_load(&pool.pending) > 0)
                    frnn_condition_wait(&pool.done, &pool.lock);
                frnn_mutex_unlock(&pool.lock);
            }
            frnn_mutex_unlock(&owner);
            return;
        }
        frnn_mutex_unlock(&owner);
    }
    for (int i = 0; i < count; i++)
        task(context, i, count);
}
