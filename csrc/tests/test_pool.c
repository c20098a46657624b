/* The thread pool: every index once, many calls, callers at the same time, calls inside calls, changing counts, parts taken
 * over, meetings at a barrier and their end, and a child after fork. */
#define _GNU_SOURCE /* nanosleep, sched_getaffinity */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/thread_pool.h"
#include "problem.h"
#include "rnn_plan.h"

/* A call's own record: how often each index ran, and with which count. */
typedef struct tally {
    atomic_int runs[FRNN_MAX_THREADS];
    atomic_int wrong_count;
    int count;
} tally;

static void run_tally(void *context, int index, int count)
{
    tally *t = context;
    if (count != t->count || index < 0 || index >= count)
        atomic_fetch_add(&t->wrong_count, 1);
    else
        atomic_fetch_add(&t->runs[index], 1);
}

static int tally_is_right(int count)
{
    tally t;
    memset(&t, 0, sizeof t);
    t.count = count;
    frnn_parallel(run_tally, &t, count);
    int right = t.wrong_count == 0;
    for (int i = 0; i < FRNN_MAX_THREADS; i++)
        right &= t.runs[i] == (i < count);
    return right;
}

static void pause_20_ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* ---- placement ---- */

#if defined(__linux__)
static void note_cores(void *context, int index, int count)
{
    (void)count;
    sched_getaffinity(0, sizeof(cpu_set_t), (cpu_set_t *)context + index);
}

/* A worker is kept from the caller's core only while it wakes. */
static void check_placement(void)
{
    cpu_set_t cores[2], before;
    sched_getaffinity(0, sizeof before, &before);
    int changed = 0;
    for (int i = 0; i < 5; i++) {
        pause_20_ms();
        CHECK(frnn_parallel_together(note_cores, cores, 2), "two threads do not run together");
        changed += !CPU_EQUAL(&cores[0], &before) || !CPU_EQUAL(&cores[1], &before);
    }
    CHECK(changed == 0, "after %d of 5 pauses a thread may run on other cores than before", changed);
}
#endif

/* ---- parts that no worker has begun ---- */

static void note_thread(void *context, int index, int count)
{
    (void)count;
    ((pthread_t *)context)[index] = pthread_self();
}

/* The caller does not wait for workers that are still waking when it has nothing else to do. */
static void check_caller_takes_over(void)
{
    pthread_t threads[FRNN_MAX_THREADS];
    int taken = 0;
    for (int i = 0; i < 20; i++) {
        pause_20_ms();
        frnn_parallel(note_thread, threads, 17);
        for (int k = 1; k < 17; k++)
            taken += pthread_equal(threads[k], threads[0]) != 0;
    }
    CHECK(taken > 0, "of %d parts the caller took none over from sleeping workers", 20 * 16);
}

/* ---- callers at the same time ---- */

enum { CALLERS = 4 };

static void *call_often(void *argument)
{
    atomic_int *wrong = argument;
    const int calls = reduced ? 200 : 800;
    for (int i = 0; i < calls; i++)
        atomic_fetch_add(wrong, !tally_is_right(i % 7));
    return NULL;
}

static int wrong_calls_of_many_callers(void)
{
    atomic_int wrong = 0;
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, call_often, &wrong);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    return wrong;
}

/* ---- a call inside a call ---- */

static void nest(void *context, int index, int count)
{
    (void)index;
    atomic_fetch_add((atomic_int *)context, !tally_is_right(count));
}

/* ---- fork ---- */

static void *do_nothing(void *unused)
{
    return unused;
}

static int exits_well(pid_t child)
{
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether a child of this process can start a thread at all: under qemu-user 7.2 it dies of an assertion of qemu's. */
static int threads_start_after_fork(void)
{
    const pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        alarm(60);
        _exit(pthread_create(&thread, NULL, do_nothing, NULL) || pthread_join(thread, NULL));
    }
    return exits_well(child);
}

/* Whether the child of a fork computes what this process does. A child that hangs is killed by its alarm. */
static int child_is_right(const problem *q, const settings *s, const outputs *expected)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        const outputs seen = engine_run(q, s);
        const int right = same_bits(q->T * q->N * q->P, seen.y, expected->y) && tally_is_right(5);
        _exit(right ? 0 : 1);
    }
    return exits_well(child);
}

static atomic_int stop;

static void *keep_calling(void *unused)
{
    (void)unused;
    while (!stop)
        tally_is_right(3);
    return NULL;
}

static void check_fork(void)
{
    seed(5);
    const problem q = make_problem(FRNN_GRU, WITH_BIAS, 4, 8, 3, 5);
    const settings s = {.dtype = FRNN_FLOAT32, .isa = frnn_isa_current(), .threads = 4};
    const outputs expected = engine_run(&q, &s);
    CHECK(child_is_right(&q, &s, &expected), "the child of a fork fails");
    CHECK(tally_is_right(4), "the parent fails after a fork");
    pthread_t busy; /* fork while another thread holds the pool */
    stop = 0;
    pthread_create(&busy, NULL, keep_calling, NULL);
    for (int i = 0; i < 5; i++)
        CHECK(child_is_right(&q, &s, &expected), "the child of a fork in the middle of a call fails");
    stop = 1;
    pthread_join(busy, NULL);
    CHECK(tally_is_right(4), "the parent fails after forks in the middle of calls");
    release();
}

/* ---- meetings ---- */

enum { MEMBERS = 3, MEETINGS = 200 };

typedef struct meeting {
    frnn_barrier barrier;
    int steps[MEMBERS]; /* not atomic: the barrier is what makes them visible */
    atomic_int early;   /* times that somebody passed the barrier before all had come */
} meeting;

static void meet(void *context, int index, int count)
{
    meeting *m = context;
    for (int step = 1; step <= MEETINGS; step++) {
        m->steps[index] = step;
        frnn_barrier_wait(&m->barrier, count);
        for (int i = 0; i < count; i++)
            if (m->steps[i] != step)
                atomic_fetch_add(&m->early, 1);
        frnn_barrier_wait(&m->barrier, count);
    }
}

static void check_barrier(void)
{
    meeting m;
    memset(&m, 0, sizeof m);
    CHECK(frnn_parallel_together(meet, &m, MEMBERS), "three threads do not run together");
    CHECK(m.early == 0, "%d passed the barrier early", (int)m.early);
    for (int i = 0; i < MEMBERS; i++)
        CHECK(m.steps[i] == MEETINGS, "thread %d stopped at step %d", i, m.steps[i]);
}

/* A sequence whose second stretch goes badly: who ran which steps? */
typedef struct diary {
    frnn_shares shares;
    frnn_barrier barriers[1];
    int64_t begin, end;
    atomic_int steps[2]; /* done by each thread */
} diary;

static void keep_diary(void *context, int index, int count)
{
    diary *d = context;
    (void)count;
    atomic_fetch_add(&d->steps[index], (int)(d->end - d->begin));
    if (d->begin > 0)
        atomic_fetch_add(&d->barriers[0].slept, (long long)1e15);
}

static void check_meetings_end(void)
{
    diary d;
    memset(&d, 0, sizeof d);
    const frnn_shares shares = {.rows = 1, .units = 2, .meet = 1, .apart = 1};
    d.shares = shares;
    frnn_have_met(1);
    frnn_run_shares(keep_diary, &d, &d.shares, d.barriers, 300, &d.begin, &d.end);
    CHECK(d.steps[0] == 300 && d.steps[1] > 0 && d.steps[1] < 300, "threads did %d and %d of 300 steps",
          (int)d.steps[0], (int)d.steps[1]);
    CHECK(!frnn_may_meet(), "threads meet again at once after it went badly");
    memset(&d, 0, sizeof d);
    d.shares = shares;
    frnn_run_shares(keep_diary, &d, &d.shares, d.barriers, 300, &d.begin, &d.end);
    CHECK(d.steps[0] == 300 && d.steps[1] == 0, "apart, threads did %d and %d of 300 steps", (int)d.steps[0],
          (int)d.steps[1]);
    frnn_have_met(1);
    CHECK(frnn_may_meet(), "threads stay apart after it went well");
}

/* Threads that share units meet for some stretches of steps, and share rows for others where the pool serves somebody else in
 * between: from the first step on, or from any later stretch. */
static void check_units_shared_and_not(void)
{
    seed(6);
    const problem q = make_problem(FRNN_GRU, WITH_BIAS | WITH_STATE, 200, 5, 3, 300);
    settings s = {.dtype = FRNN_FLOAT32, .isa = frnn_isa_current(), .threads = 1, .backward = 1};
    const outputs expected = engine_run(&q, &s);
    const int64_t y = q.T * q.N * q.P, parameters = 3 * q.H * q.H;
    pthread_t busy;
    stop = 0;
    pthread_create(&busy, NULL, keep_calling, NULL);
    for (int i = 0; i < (reduced ? 2 : 10); i++) {
        s.threads = 2 + i % 2;
        frnn_have_met(1);
        const outputs seen = engine_run(&q, &s);
        CHECK(same_bits(y, seen.y, expected.y), "forward, units shared by %d threads in between", s.threads);
        CHECK(same_bits(parameters, seen.gradient[WEIGHT_HH], expected.gradient[WEIGHT_HH]),
              "backward, units shared by %d threads in between", s.threads);
    }
    stop = 1;
    pthread_join(busy, NULL);
    release();
}

void test_pool(void)
{
    group_begin("thread pool");
    CHECK(tally_is_right(0) && tally_is_right(1), "no work, or that of one thread, is wrong");
    const int calls = reduced ? 300 : 4000;
    int wrong = 0;
    for (int i = 0; i < calls; i++)
        wrong += !tally_is_right(1 + i % 5);
    CHECK(wrong == 0, "%d of %d calls wrong", wrong, calls);
    const int counts[] = {2, 32, 3, 1, 17};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        CHECK(tally_is_right(counts[i]), "%d threads: an index ran not once", counts[i]);
    for (int i = 0; i < 5; i++) { /* workers have gone to sleep */
        pause_20_ms();
        CHECK(tally_is_right(3), "a call after a pause fails");
    }
#if defined(__linux__)
    check_placement();
#endif
    check_caller_takes_over();
    wrong = wrong_calls_of_many_callers();
    CHECK(wrong == 0, "%d calls wrong with %d callers", wrong, (int)CALLERS);
    atomic_int nested_wrong = 0;
    for (int i = 0; i < 50; i++)
        frnn_parallel(nest, &nested_wrong, 3);
    CHECK(nested_wrong == 0, "%d calls inside calls wrong", nested_wrong);
    check_barrier();
    check_meetings_end();
    check_units_shared_and_not();
    if (threads_start_after_fork())
        check_fork();
    else
        group_note("; fork not tested: no thread starts in a forked child here");
    group_end();
}
