#include "dispatch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "isa_list.h"
#include "platform/compiler.h"
#include "platform/cpu.h"
#include "platform/thread_pool.h"

#define FRNN_DECLARE(isa, supported) extern const frnn_kernels *const frnn_tables_##isa[2];
FRNN_ISA_LIST(FRNN_DECLARE)
#undef FRNN_DECLARE

static int always(void)
{
    return 1;
}

static const struct {
    const char *name;
    int (*supported)(void);
    const frnn_kernels *const *tables;
} isas[] = {
#define FRNN_ROW(isa, predicate) {#isa, predicate, frnn_tables_##isa},
    FRNN_ISA_LIST(FRNN_ROW)
#undef FRNN_ROW
};

#define FRNN_ISAS ((int)(sizeof isas / sizeof isas[0]))

/* Set by one thread of the host while others compute: each call reads them once and stays with what it read. */
static atomic_int current = -1, num_threads;
static atomic_int narrow = -1; /* the ISA of half the current one's width, where one may stand in for it; or -1 */

int frnn_isa_count(void)
{
    return FRNN_ISAS;
}

const char *frnn_isa_name(int index)
{
    return isas[index].name;
}

int frnn_isa_supported(int index)
{
    return isas[index].supported();
}

int frnn_isa_current(void)
{
    return current;
}

/* Who names an ISA wants all of it: only the best, which is what runs by itself, has another beside it. */
static int narrow_for(int chosen)
{
    int best = 0, half = 0;
    while (!isas[best].supported())
        best++;
    while (half < FRNN_ISAS && strcmp(isas[half].name, "avx512vl") != 0)
        half++;
    return chosen == best && best < half && half < FRNN_ISAS && frnn_cpu_halves_avx512() ? half : -1;
}

/* Half a vector must be a twentieth of all at least, or half vectors cost more than they save. Only whole ones have int8's products. */
int frnn_isa_for(int dtype, int format, int64_t units)
{
    const int wide = current, half = narrow;
    if (half < 0 || format == FRNN_WEIGHTS_INT8)
        return wide;
    const int64_t V = isas[wide].tables[dtype]->lanes, vectors = (units + V - 1) / V;
    return vectors <= 10 && vectors * V - units >= V / 2 ? half : wide;
}

frnn_status frnn_start(const char *isa)
{
    if (!isa)
        isa = getenv("FASTRNN_ISA");
    if (isa && !*isa)
        isa = NULL;
    for (int i = 0; i < FRNN_ISAS; i++) {
        if (isa ? strcmp(isa, isas[i].name) != 0 : !isas[i].supported())
            continue;
        if (!isas[i].supported())
            return FRNN_ISA_UNSUPPORTED;
        current = i;
        narrow = narrow_for(i);
        if (num_threads == 0)
            num_threads = FRNN_MIN(frnn_cpu_count(), FRNN_MAX_THREADS);
        return FRNN_OK;
    }
    return FRNN_ISA_UNKNOWN;
}

frnn_status frnn_set_num_threads(int n)
{
    if (n < 1 || n > FRNN_MAX_THREADS)
        return FRNN_INVALID_THREADS;
    num_threads = n;
    return FRNN_OK;
}

int frnn_get_num_threads(void)
{
    return num_threads;
}

const frnn_kernels *frnn_kernels_for(int isa, int dtype)
{
    return isas[isa].tables[dtype];
}

/* Waking a worker costs some microseconds; half a million operations take about as long on one core. */
#define FRNN_FLOP_PER_THREAD 1.5e6

int frnn_threads_for(double flop, int64_t most)
{
    double n = flop / FRNN_FLOP_PER_THREAD;
    const double allowed = num_threads;
    if (n > allowed)
        n = allowed;
    if (n > (double)most)
        n = (double)most;
    return n < 1 ? 1 : (int)n;
}
