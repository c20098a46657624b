#include "testing.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

/* ---- checks ---- */

#define REPORTED_FAILURES 8 /* a group says so many in full */

static char group_name[128], group_notes[128];
static long group_passed, group_failed, all_passed, all_failed;

void group_begin(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(group_name, sizeof group_name, format, arguments);
    va_end(arguments);
    group_passed = group_failed = 0;
    group_notes[0] = 0;
}

void group_note(const char *format, ...)
{
    const size_t used = strlen(group_notes);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(group_notes + used, sizeof group_notes - used, format, arguments);
    va_end(arguments);
}

void group_end(void)
{
    printf("%-40s %6ld passed, %ld failed%s\n", group_name, group_passed, group_failed, group_notes);
    fflush(stdout);
    all_passed += group_passed;
    all_failed += group_failed;
}

void check_result(int passed, const char *file, int line, const char *format, ...)
{
    group_passed += passed;
    group_failed += !passed;
    if (passed || group_failed > REPORTED_FAILURES)
        return;
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED %s:%d: %s: ", file, line, group_name);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

long report(void)
{
    printf("%ld passed, %ld failed\n", all_passed, all_failed);
    return all_failed;
}

/* ---- memory ---- */

#define GUARD 256 /* bytes before and after; more than a vector store can overrun by */
#define GUARD_BYTE 0xa5

typedef struct guarded_block {
    char *base, *data;
    size_t bytes;
    struct guarded_block *next;
} guarded_block;

static guarded_block *blocks;
unsigned char memory_fill = 0xff;
int memory_unfilled, reduced;

static void *guarded(size_t bytes, size_t offset)
{
    guarded_block *b = malloc(sizeof *b);
    const size_t total = GUARD + FRNN_ALIGNMENT + offset + bytes + GUARD;
    b->base = malloc(total);
    if (!b->base)
        abort();
    const uintptr_t first = (uintptr_t)b->base + GUARD + FRNN_ALIGNMENT - 1;
    b->data = b->base + (first - (uintptr_t)b->base) - first % FRNN_ALIGNMENT + offset;
    b->bytes = bytes;
    b->next = blocks;
    blocks = b;
    memset(b->data - GUARD, GUARD_BYTE, GUARD);
    memset(b->data + bytes, GUARD_BYTE, GUARD);
    if (!memory_unfilled)
        memset(b->data, memory_fill, bytes);
    ASAN_POISON_MEMORY_REGION(b->data - GUARD, GUARD);
    ASAN_POISON_MEMORY_REGION(b->data + bytes, GUARD);
    return b->data;
}

void *block(size_t bytes)
{
    return guarded(bytes, 0);
}

void *misaligned(size_t bytes, size_t element)
{
    return guarded(bytes, element);
}

double *doubles(int64_t n)
{
    double *p = block(sizeof *p * (size_t)n);
    memset(p, 0, sizeof *p * (size_t)n);
    return p;
}

void release(void)
{
    int intact = 1;
    for (guarded_block *next, *b = blocks; b; b = next) {
        next = b->next;
        ASAN_UNPOISON_MEMORY_REGION(b->data - GUARD, GUARD);
        ASAN_UNPOISON_MEMORY_REGION(b->data + b->bytes, GUARD);
        for (size_t i = 0; i < GUARD; i++)
            intact &= (unsigned char)b->data[-1 - (ptrdiff_t)i] == GUARD_BYTE &&
                      (unsigned char)b->data[b->bytes + i] == GUARD_BYTE;
        free(b->base);
        free(b);
    }
    blocks = NULL;
    CHECK(intact, "bytes beside a block were written");
}

/* ---- reals ---- */

size_t real_size(int dtype)
{
    return dtype == FRNN_FLOAT32 ? sizeof(float) : sizeof(double);
}

double real_eps(int dtype)
{
    return dtype == FRNN_FLOAT32 ? FLT_EPSILON : DBL_EPSILON;
}

double real_at(int dtype, const void *array, int64_t i)
{
    return dtype == FRNN_FLOAT32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

void set_real(int dtype, void *array, int64_t i, double value)
{
    if (dtype == FRNN_FLOAT32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

void *to_real(int dtype, int64_t n, const double *from)
{
    if (!from)
        return NULL;
    void *p = misaligned(real_size(dtype) * (size_t)n, real_size(dtype));
    for (int64_t i = 0; i < n; i++)
        set_real(dtype, p, i, from[i]);
    return p;
}

/* ---- random numbers: splitmix64 (Steele, Lea and Flood 2014) ---- */

static uint64_t random_state;

void seed(uint64_t state)
{
    random_state = state;
}

static uint64_t random_bits(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double uniform(double low, double high)
{
    return (double)(float)(low + (high - low) * ((double)(random_bits() >> 11) * 0x1p-53));
}

int64_t below(int64_t n)
{
    return (int64_t)(random_bits() % (uint64_t)n);
}

double *random_doubles(int64_t n, double low, double high)
{
    double *p = doubles(n);
    for (int64_t i = 0; i < n; i++)
        p[i] = uniform(low, high);
    return p;
}

/* ---- comparison ---- */

double distance(int64_t n, const double *a, const double *b)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(a[i] - b[i]) / fmax(1, fabs(b[i]));
        if (!(d <= largest))
            largest = isnan(d) ? INFINITY : d;
    }
    return largest;
}

int same_bits(int64_t n, const double *a, const double *b)
{
    return n == 0 || memcmp(a, b, sizeof *a * (size_t)n) == 0;
}

/* ---- the machine ---- */

const char *const dtype_names[2] = {"float32", "float64"};

int64_t lanes_of(int isa, int dtype)
{
    return frnn_kernels_for(isa, dtype)->lanes;
}
