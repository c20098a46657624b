/* One job at a time. A job is published by one atomic word, a rising number with the job's thread count in its low bits:
 * a worker decides from that word alone whether the job has a part for it, and claims it before it reads the job's fields,
 * which stay put until every part is done. A worker keeps its index, so that work and memory stay with their core; worker w
 * serves index w + 1. Workers the job does not need are not waited for, and not woken: each sleeps on a condition of its own.
 *
 * Waking a worker takes from some microseconds to a hundred, in which a core does a small job alone. So the caller, done with
 * its own part, claims those that nobody has begun, and waits only for those that somebody has. Parts that wait for each other
 * at a barrier are not taken away from their threads.
 *
 * Spinning is bounded (FRNN_SPIN pauses, about a hundred microseconds: longer than what Python does between two calls) on
 * both sides; whoever waits longer sleeps on a condition. A process with more threads than cores therefore degrades to sleeping,
 * never to burning its cores. */
#include "platform/thread_pool.h"

#include <stdatomic.h>
#include <stdint.h>

#include "platform/placement.h"
#include "platform/threads.h"

#define FRNN_SPIN 10000

static frnn_mutex owner = FRNN_MUTEX_INIT; /* held by the caller whose job runs */

static struct {
    frnn_mutex lock; /* guards sleeping: all conditions */
    frnn_condition done;
    atomic_ullong job;  /* number * (FRNN_MAX_THREADS + 1) + count */
    atomic_int pending; /* parts of it that are not done */
    int workers;        /* started; grows under `owner` */
    frnn_task task;
    void *context;
} pool = {.lock = FRNN_MUTEX_INIT, .done = FRNN_CONDITION_INIT};

static struct {
    frnn_condition wake;
    atomic_int asleep;
    atomic_ullong claimed;         /* the last job whose part has been begun, by whoever */
    unsigned long long born_after; /* the job that was out when the worker started */
    int thread;                    /* under pool.lock, as the next two */
    int kept_away;                 /* from the core of the thread that woke it; then */
    frnn_cores allowed;            /* are the cores it had */
} beds[FRNN_MAX_THREADS];          /* a worker each */

/* Waiting at a barrier takes the pool's lock only after spinning in vain. */
static struct {
    frnn_condition passed;
    atomic_int sleepers;
} barriers = {.passed = FRNN_CONDITION_INIT};

/* A thread that was woken may have been put on this very core: now and then it gets its turn. */
#define FRNN_YIELD_EVERY 128
static void wait_a_little(int spin)
{
    if (spin % FRNN_YIELD_EVERY == FRNN_YIELD_EVERY - 1)
        frnn_yield();
    else
        frnn_pause();
}

static int count_of(unsigned long long job)
{
    return (int)(job % (FRNN_MAX_THREADS + 1));
}

/* The job that is out, if it is one that this index has not done and has a part in; else 0. */
static unsigned long long new_job(unsigned long long seen, int index)
{
    const unsigned long long job = atomic_load(&pool.job);
    return job != seen && index < count_of(job) ? job : 0;
}

/* Whether the part of the job that belongs to this bed is the caller's to do: a job's part is claimed once, and a job that is
 * over has none. */
static int claim(int bed, unsigned long long job)
{
    unsigned long long last = atomic_load(&beds[bed].claimed);
    return last < job && atomic_compare_exchange_strong(&beds[bed].claimed, &last, job);
}

FRNN_THREAD_FUNCTION worker(void *argument)
{
    const int bed = (int)(intptr_t)argument, index = bed + 1;
    unsigned long long seen = beds[bed].born_after, job;
    for (;;) {
        for (int spin = 0; !(job = new_job(seen, index)) && spin < FRNN_SPIN; spin++)
            wait_a_little(spin);
        if (!job) {
            frnn_mutex_lock(&pool.lock);
            atomic_store(&beds[bed].asleep, 1);
            beds[bed].thread = frnn_thread_id();
            while (!(job = new_job(seen, index)))
                frnn_condition_wait(&beds[bed].wake, &pool.lock);
            atomic_store(&beds[bed].asleep, 0);
            if (beds[bed].kept_away)
                frnn_allow_cores(&beds[bed].allowed);
            beds[bed].kept_away = 0;
            frnn_mutex_unlock(&pool.lock);
        }
        seen = job;
        if (!claim(bed, job))
            continue;
        const int count = count_of(job);
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
    pool.done = condition;
    barriers.passed = condition;
    atomic_store(&barriers.sleepers, 0);
    pool.workers = 0;
    atomic_store(&pool.pending, 0);
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
        const frnn_condition condition = FRNN_CONDITION_INIT;
        beds[pool.workers].wake = condition;
        atomic_store(&beds[pool.workers].asleep, 0);
        beds[pool.workers].kept_away = 0;
        beds[pool.workers].born_after = atomic_load(&pool.job);
        if (!frnn_thread_start(worker, (void *)(intptr_t)pool.workers))
            return;
        pool.workers++;
    }
}

/* A worker that is not asleep after the job was published sees it before it sleeps. */
static void wake_workers(int wanted)
{
    int locked = 0;
    for (int bed = 0; bed < wanted; bed++)
        if (atomic_load(&beds[bed].asleep)) {
            if (!locked)
                frnn_mutex_lock(&pool.lock);
            locked = 1;
            if (atomic_load(&beds[bed].asleep) && !beds[bed].kept_away)
                beds[bed].kept_away = frnn_forbid_this_core(beds[bed].thread, wanted + 1, &beds[bed].allowed);
            frnn_condition_broadcast(&beds[bed].wake);
        }
    if (locked)
        frnn_mutex_unlock(&pool.lock);
}

static int run(frnn_task task, void *context, int count, int together)
{
    if (count <= 1) {
        if (count == 1)
            task(context, 0, 1);
        return 1;
    }
    if (!frnn_mutex_trylock(&owner))
        return 0;
    start_workers(count - 1);
    if (pool.workers < count - 1) {
        frnn_mutex_unlock(&owner);
        return 0;
    }
    pool.task = task;
    pool.context = context;
    atomic_store(&pool.pending, count - 1);
    const unsigned long long number = atomic_load(&pool.job) / (FRNN_MAX_THREADS + 1) + 1;
    const unsigned long long job = number * (FRNN_MAX_THREADS + 1) + (unsigned)count;
    atomic_store(&pool.job, job);
    wake_workers(count - 1);
    task(context, 0, count);
    for (int bed = 0; bed < count - 1 && !together; bed++)
        if (claim(bed, job)) {
            task(context, bed + 1, count);
            atomic_fetch_sub(&pool.pending, 1);
        }
    for (int spin = 0; atomic_load(&pool.pending) > 0 && spin < FRNN_SPIN; spin++)
        wait_a_little(spin);
    if (atomic_load(&pool.pending) > 0) {
        frnn_mutex_lock(&pool.lock);
        while (atomic_load(&pool.pending) > 0)
            frnn_condition_wait(&pool.done, &pool.lock);
        frnn_mutex_unlock(&pool.lock);
    }
    frnn_mutex_unlock(&owner);
    return 1;
}

int frnn_parallel_together(frnn_task task, void *context, int count)
{
    return run(task, context, count, 1);
}

void frnn_parallel(frnn_task task, void *context, int count)
{
    if (!run(task, context, count, 0))
        for (int i = 0; i < count; i++)
            task(context, i, count);
}

/* ---- barrier ---- */

void frnn_barrier_wait(frnn_barrier *barrier, int count)
{
    const int phase = atomic_load(&barrier->phase);
    if (atomic_fetch_add(&barrier->arrived, 1) == count - 1) {
        atomic_store(&barrier->arrived, 0);
        atomic_store_explicit(&barrier->since, frnn_nanoseconds(), memory_order_relaxed);
        atomic_store(&barrier->phase, phase + 1);
        if (atomic_load(&barriers.sleepers) > 0) {
            frnn_mutex_lock(&pool.lock);
            frnn_condition_broadcast(&barriers.passed);
            frnn_mutex_unlock(&pool.lock);
        }
        return;
    }
    /* A thread that took long may wait as long again for others: on shared cores one is slower than another, and to sleep and
     * wake takes longer than they are apart. */
    const long long since = atomic_load_explicit(&barrier->since, memory_order_relaxed);
    long long start = 0, until = 1;
    while (start < until) {
        for (int spin = 0; spin < FRNN_SPIN; spin++) {
            if (atomic_load(&barrier->phase) != phase)
                return;
            wait_a_little(spin);
        }
        const long long now = frnn_nanoseconds();
        if (!start)
            until = now + (now - since);
        start = now;
    }
    frnn_mutex_lock(&pool.lock);
    atomic_fetch_add(&barriers.sleepers, 1);
    while (atomic_load(&barrier->phase) == phase)
        frnn_condition_wait(&barriers.passed, &pool.lock);
    atomic_fetch_sub(&barriers.sleepers, 1);
    frnn_mutex_unlock(&pool.lock);
    if (phase > 0) /* at the first meeting others may still be waking up, which says nothing of later ones */
        atomic_fetch_add(&barrier->slept, frnn_nanoseconds() - start);
}

#define FRNN_APART_FIRST 20000000LL /* nanoseconds */
#define FRNN_APART_MOST 6400000000LL
static atomic_llong apart_until, apart_for;

int frnn_may_meet(void)
{
    const long long until = atomic_load(&apart_until);
    const long long left = until - frnn_nanoseconds();
    return left <= 0 || left > FRNN_APART_MOST; /* a clock that was set back keeps nobody apart */
}

void frnn_have_met(int smoothly)
{
    if (smoothly) {
        atomic_store(&apart_until, 0);
        atomic_store(&apart_for, 0);
        return;
    }
    const long long last = atomic_load(&apart_for);
    const long long next = last == 0 ? FRNN_APART_FIRST : FRNN_MIN(2 * last, FRNN_APART_MOST);
    atomic_store(&apart_for, next);
    atomic_store(&apart_until, frnn_nanoseconds() + next);
}
