/* Denormals are flushed inside a call, in every thread of it, and the caller's setting is what it was afterwards. */
#include "platform/float_environment.h"
#include "platform/thread_pool.h"
#include "problem.h"

#if defined(__x86_64__)
#define KNOWN 1
#define FLUSH FRNN_FLUSH_BITS
/* The low six bits are exception flags, which any arithmetic raises. */
static uint64_t modes(void)
{
    return _mm_getcsr() & ~0x3fu;
}
static void set_modes(uint64_t value)
{
    _mm_setcsr((unsigned)value);
}
#elif defined(__aarch64__)
#define KNOWN 1
#define FLUSH FRNN_FLUSH_BIT
static uint64_t modes(void)
{
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
}
static void set_modes(uint64_t value)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(value));
}
#else
#define KNOWN 0
#define FLUSH 0
static uint64_t modes(void)
{
    return 0;
}
static void set_modes(uint64_t value)
{
    (void)value;
}
#endif

/* What other tests may have left behind goes first. */
static void stop_flushing(void *context, int index, int count)
{
    (void)count;
    set_modes(modes() & ~(uint64_t)FLUSH);
    ((uint64_t *)context)[index] = modes();
}

static void read_modes(void *context, int index, int count)
{
    (void)count;
    ((uint64_t *)context)[index] = modes();
}

enum { THREADS = 3 };

static void check_restored(int dtype, int isa)
{
    const problem q = make_problem(FRNN_LSTM, WITH_BIAS | WITH_STATE, 4, 6, 3, 5);
    const settings s = {.dtype = dtype, .isa = isa, .threads = THREADS, .backward = 1};
    uint64_t before[THREADS], after[THREADS];
    frnn_parallel(stop_flushing, before, THREADS);
    engine_run(&q, &s);
    frnn_parallel(read_modes, after, THREADS);
    for (int i = 0; i < THREADS; i++)
        CHECK(before[i] == after[i], "modes of thread %d: %#llx before, %#llx after", i, (unsigned long long)before[i],
              (unsigned long long)after[i]);

    set_modes(modes() | FLUSH); /* a caller that flushes itself */
    const uint64_t flushing = modes();
    engine_run(&q, &s);
    const uint64_t still = modes();
    set_modes(before[0]);
    CHECK(flushing == still, "modes of a flushing caller: %#llx before, %#llx after", (unsigned long long)flushing,
          (unsigned long long)still);
    release();
}

/* A relu passes a number on as it is, so a denormal would show. */
static void check_flushed(int dtype, int isa)
{
    const double denormal = dtype == FRNN_FLOAT32 ? 1e-40 : 1e-310;
    for (int threads = 1; threads <= THREADS; threads++) {
        problem q = make_problem(FRNN_RNN_RELU, 0, 1, THREADS, 1, 1);
        q.tensor[WEIGHT_IH][0] = 1;
        for (int n = 0; n < THREADS; n++)
            q.tensor[X_][n] = denormal;
        const settings s = {.dtype = dtype, .isa = isa, .threads = threads};
        const outputs out = engine_run(&q, &s);
        for (int n = 0; n < THREADS; n++)
            CHECK(out.y[n] == 0, "%d threads: a denormal comes out of row %d as %g", threads, n, out.y[n]);
        release();
    }
}

void test_float_environment(void)
{
    if (!KNOWN)
        return;
    group_begin("denormals");
    seed(4);
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        check_restored(dtype, isa);
        check_flushed(dtype, isa);
    }
    group_end();
}
