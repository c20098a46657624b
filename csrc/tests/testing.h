/* What every test file uses: checks that count, guarded memory, random numbers, and the machine's ISAs and dtypes.
 *
 * A test file is one function `void test_<subject>(void)`, listed in test_engine.c. */
#ifndef FRNN_TESTING_H
#define FRNN_TESTING_H

#include <stddef.h>
#include <stdint.h>

#include "fastrnn.h"

/* ---- checks ---- */

/* A group is a line of the report: begin, checks, end. A note is appended to the line. */
void group_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
void group_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void group_end(void);
void check_result(int passed, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* CHECK(condition, "what was seen", ...) counts; a failure is reported and the run goes on. */
#define CHECK(condition, ...) check_result((condition) != 0, __FILE__, __LINE__, __VA_ARGS__)
long report(void); /* the closing line; returns how many checks failed */

/* ---- memory ----
 * Every block lies between guards. They are compared, and all blocks freed, by release(); AddressSanitizer also
 * sees the reads of them. A block starts out filled with `memory_fill`, which no result may depend on. */

extern unsigned char memory_fill; /* 0xff: NaN in both dtypes */
extern int memory_unfilled;       /* leave blocks as malloc gave them, for valgrind to judge */
extern int reduced;               /* smaller sizes, for emulators and slow checkers */

void *block(size_t bytes);                      /* aligned to FRNN_ALIGNMENT */
void *misaligned(size_t bytes, size_t element); /* aligned to an element and to nothing more */
double *doubles(int64_t n);                     /* zeros */
void release(void);

/* ---- reals: arrays of a dtype as doubles ---- */

size_t real_size(int dtype);
double real_eps(int dtype);
void *to_real(int dtype, int64_t n, const double *from); /* a misaligned copy; NULL stays NULL */
double real_at(int dtype, const void *array, int64_t i);
void set_real(int dtype, void *array, int64_t i, double value);

/* ---- random numbers: the same in every run, and exact in float32 ---- */

void seed(uint64_t state);
double uniform(double low, double high);
int64_t below(int64_t n);
double *random_doubles(int64_t n, double low, double high);

/* ---- comparison ---- */

/* The largest |a - b| / max(1, |b|); NaN anywhere is infinity. */
double distance(int64_t n, const double *a, const double *b);
int same_bits(int64_t n, const double *a, const double *b);

/* ---- the machine ---- */

extern const char *const dtype_names[2];
#define FOR_ISAS(isa)                                                                                                  \
    for (int isa = 0; isa < frnn_isa_count(); isa++)                                                                   \
        if (frnn_isa_supported(isa))
#define FOR_DTYPES(dtype) for (int dtype = FRNN_FLOAT32; dtype <= FRNN_FLOAT64; dtype++)
int64_t lanes_of(int isa, int dtype);

#endif
