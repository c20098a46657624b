/* Instruction sets by name, thread counts, and what a size query says. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <unistd.h>
#endif

#include "platform/cpu.h"
#include "platform/thread_pool.h"
#include "testing.h"

static void check_isas(void)
{
    const int before = frnn_isa_current();
    CHECK(frnn_isa_count() >= 1, "no instruction set at all");
    const char *const last = frnn_isa_name(frnn_isa_count() - 1);
    CHECK(frnn_isa_supported(frnn_isa_count() - 1), "the last ISA, %s, is not one that every machine has", last);
    CHECK(frnn_start("no-such-isa") == FRNN_ISA_UNKNOWN, "an unknown ISA is accepted");
    CHECK(frnn_isa_current() == before, "a refused ISA changes the current one");
    int best = -1;
    for (int i = 0; i < frnn_isa_count(); i++) {
        const frnn_status status = frnn_start(frnn_isa_name(i));
        CHECK(status == (frnn_isa_supported(i) ? FRNN_OK : FRNN_ISA_UNSUPPORTED), "%s: status %d", frnn_isa_name(i),
              (int)status);
        if (status == FRNN_OK) {
            CHECK(frnn_isa_current() == i, "%s was asked for, %s runs", frnn_isa_name(i),
                  frnn_isa_name(frnn_isa_current()));
            best = best < 0 ? i : best;
        }
    }
    const char *value = getenv("FASTRNN_ISA");
    char *const old = value ? strdup(value) : NULL;
    setenv("FASTRNN_ISA", last, 1);
    CHECK(frnn_start(NULL) == FRNN_OK && frnn_isa_current() == frnn_isa_count() - 1, "FASTRNN_ISA=%s: %s runs", last,
          frnn_isa_name(frnn_isa_current()));
    setenv("FASTRNN_ISA", "no-such-isa", 1);
    CHECK(frnn_start(NULL) == FRNN_ISA_UNKNOWN, "FASTRNN_ISA=no-such-isa is accepted");
    unsetenv("FASTRNN_ISA");
    CHECK(frnn_start(NULL) == FRNN_OK && frnn_isa_current() == best, "without FASTRNN_ISA %s runs, not the best",
          frnn_isa_name(frnn_isa_current()));
    if (old)
        setenv("FASTRNN_ISA", old, 1);
    free(old);
    frnn_start(frnn_isa_name(before));
}

/* Half vectors stand in only for the best ISA, for few units, where they save lanes, and not for int8; bfloat16 has the ISA of float32. */
static void check_isa_for(int isa, int best, int dtype)
{
    const int64_t V = lanes_of(isa, dtype), whole[] = {V / 2 + 1, V, 2 * V, 10 * V + 1, 1000 * V + V / 2};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        CHECK(frnn_isa_for(dtype, FRNN_WEIGHTS_REAL, whole[i]) == isa, "another ISA than %s for %d units",
              frnn_isa_name(isa), (int)whole[i]);
    CHECK(frnn_isa_for(dtype, FRNN_WEIGHTS_INT8, 1) == isa, "another ISA than %s for int8", frnn_isa_name(isa));
    const int64_t saving[] = {1, V / 2, V + 1, 9 * V + V / 2};
    for (size_t i = 0; i < sizeof saving / sizeof *saving; i++) {
        const int seen = frnn_isa_for(dtype, FRNN_WEIGHTS_REAL, saving[i]);
        const int halves = isa == best && V * (int64_t)real_size(dtype) == 64 && frnn_cpu_halves_avx512();
        CHECK(frnn_isa_for(dtype, FRNN_WEIGHTS_BFLOAT16, saving[i]) == seen, "bfloat16 of %d units has another ISA",
              (int)saving[i]);
        CHECK(lanes_of(seen, dtype) == (halves ? V / 2 : V) && frnn_isa_supported(seen) && (halves || seen == isa),
              "%s for %d units, %s runs", frnn_isa_name(seen), (int)saving[i], frnn_isa_name(isa));
    }
}

static void check_half_vectors(void)
{
    const int before = frnn_isa_current();
    int best = -1;
    for (int isa = 0; isa < frnn_isa_count(); isa++) {
        if (frnn_start(frnn_isa_name(isa)) != FRNN_OK)
            continue;
        best = best < 0 ? isa : best;
        check_isa_for(isa, best, FRNN_FLOAT32);
        check_isa_for(isa, best, FRNN_FLOAT64);
    }
    frnn_start(frnn_isa_name(before));
}

/* The compiler's library asks the processor in its own way. */
static void check_detection(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    CHECK(frnn_cpu_has_avx2() == avx2, "AVX2: %d, the compiler says %d", frnn_cpu_has_avx2(), avx2);
    CHECK(frnn_cpu_has_avx512() == avx512, "AVX-512: %d, the compiler says %d", frnn_cpu_has_avx512(), avx512);
    const int amd = __builtin_cpu_is("amd") != 0;
    CHECK(frnn_cpu_l3_is_near() == amd, "a near third-level cache: %d, made by AMD: %d", frnn_cpu_l3_is_near(), amd);
    CHECK(!frnn_cpu_halves_avx512() || (amd && avx512), "half units: AMD %d, AVX-512 %d", amd, avx512);
#endif
    CHECK(frnn_cpu_count() >= 1, "%d processors", frnn_cpu_count());
    const int64_t l2 = frnn_cpu_l2_cache_bytes();
    CHECK(l2 >= 1 << 17 && l2 <= 1 << 26, "a second-level cache of %d bytes", (int)l2);
#if defined(__x86_64__) && defined(_SC_LEVEL2_CACHE_SIZE)
    const long said = sysconf(_SC_LEVEL2_CACHE_SIZE); /* of cores of another kind it may be another */
    CHECK(said <= 0 || (l2 >= said / 2 && l2 <= said * 2), "a second-level cache of %d bytes, the system says %ld",
          (int)l2, said);
#endif
}

static void check_thread_counts(void)
{
    const int before = frnn_get_num_threads();
    CHECK(before >= 1 && before <= FRNN_MAX_THREADS, "%d threads by default", before);
    const int wrong[] = {0, -1, FRNN_MAX_THREADS + 1, 1 << 30};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(frnn_set_num_threads(wrong[i]) == FRNN_INVALID_THREADS && frnn_get_num_threads() == before,
              "%d threads are accepted", wrong[i]);
    frnn_sequence large = {.layer = {.cell = FRNN_LSTM, .input_size = 512, .hidden_size = 512}, .T = 1000, .N = 64};
    frnn_sequence small = {.layer = {.cell = FRNN_LSTM, .input_size = 1, .hidden_size = 1}, .T = 1, .N = 1};
    frnn_sequence empty = {.layer = {.cell = FRNN_GRU, .input_size = 512, .hidden_size = 512}, .T = 0, .N = 0};
    frnn_sequence narrow = {.layer = {.cell = FRNN_LSTM, .input_size = 3, .hidden_size = 20}, .T = 10000, .N = 5};
    const int counts[] = {1, 3, FRNN_MAX_THREADS};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        CHECK(frnn_set_num_threads(counts[i]) == FRNN_OK && frnn_get_num_threads() == counts[i], "%d threads refused",
              counts[i]);
        CHECK(frnn_sequence_threads(&large) == counts[i], "a large layer takes %d of %d threads",
              frnn_sequence_threads(&large), counts[i]);
        CHECK(frnn_sequence_threads(&small) == 1, "a tiny layer takes %d threads", frnn_sequence_threads(&small));
        CHECK(frnn_sequence_threads(&narrow) == 1, "many small steps take %d threads", frnn_sequence_threads(&narrow));
        CHECK(frnn_sequence_threads(&empty) == 1, "no work takes %d threads", frnn_sequence_threads(&empty));
    }
    frnn_set_num_threads(before);
}

void test_machine(void)
{
    group_begin("machine");
    check_isas();
    check_half_vectors();
    check_detection();
    check_thread_counts();
    group_end();
}
