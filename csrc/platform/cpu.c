#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "platform/cpu.h"

#include <stdatomic.h>

#if defined(_WIN32)
#include <windows.h>
#elif defined(__linux__)
#include <sched.h>
#include <unistd.h>
#else
#include <unistd.h>
#endif

#if defined(__x86_64__)

/* Bits of leaves 1 and 7 and of the register that says which state the operating system saves (Intel's Software
 * Developer's Manual, volume 2, CPUID and XGETBV). Asked here and not by __builtin_cpu_supports, which needs a run-time
 * library that MSVC's linker is not given: https://github.com/llvm/llvm-project/issues/144630. */
#define LEAF1_C_FMA (1u << 12)
#define LEAF1_C_OSXSAVE (1u << 27)
#define LEAF1_C_AVX (1u << 28)
#define LEAF7_B_AVX2 (1u << 5)
#define LEAF7_B_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL: the flags in flags.mk */
#define LEAF7_C_VNNI (1u << 11)
/* A cache a subleaf, in the same form for both (AMD's Architecture Programmer's Manual, volume 3, appendix E). Leaf
 * 0x80000006, which should tell the size of the second-level cache too, says 256 KB on Xeons with a megabyte. */
#define LEAF_CACHES_INTEL 4
#define LEAF_CACHES_AMD 0x8000001du
/* How wide the units for floating point are (the same appendix). Zen 4 says 256 bits, Zen 5 on servers 512. */
#define LEAF_UNITS_AMD 0x8000001au
#define LEAF_UNITS_A_256 (1u << 2)
#define LEAF_UNITS_A_512 (1u << 3)
#define STATE_AVX 0x06u
#if defined(__APPLE__)
#define STATE_AVX512 STATE_AVX /* macOS saves the rest too, but says so only once a process has used it */
#else
#define STATE_AVX512 0xe6u
#endif

typedef struct registers {
    unsigned a, b, c, d;
} registers;

static registers cpuid_part(unsigned leaf, unsigned subleaf)
{
    registers r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "0"(leaf), "2"(subleaf));
    return r;
}

static registers cpuid(unsigned leaf)
{
    return cpuid_part(leaf, 0);
}

/* Whether the processor has AVX, FMA and these features of leaf 7, and the system saves these registers. */
static int has(unsigned features, unsigned states)
{
    const unsigned needed = LEAF1_C_FMA | LEAF1_C_OSXSAVE | LEAF1_C_AVX;
    if (cpuid(0).a < 7 || (cpuid(1).c & needed) != needed || (cpuid(7).b & features) != features)
        return 0;
    unsigned saved, high;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    return (saved & states) == states;
}

int frnn_cpu_has_avx2(void)
{
    return has(LEAF7_B_AVX2, STATE_AVX);
}

int frnn_cpu_has_avx512(void)
{
    return has(LEAF7_B_AVX2 | LEAF7_B_AVX512, STATE_AVX512);
}

int frnn_cpu_has_avx512vnni(void)
{
    return frnn_cpu_has_avx512() && (cpuid(7).c & LEAF7_C_VNNI) != 0;
}

static int64_t l2_cache_bytes(void)
{
    const unsigned leaves[] = {LEAF_CACHES_INTEL, LEAF_CACHES_AMD};
    for (int i = 0; i < 2; i++) {
        if (cpuid(leaves[i] & 0x80000000u).a < leaves[i])
            continue;
        for (unsigned cache = 0; cache < 16; cache++) {
            const registers r = cpuid_part(leaves[i], cache);
            const unsigned type = r.a & 31, level = r.a >> 5 & 7; /* type 0: there are no more; 2: instructions */
            if (type == 0)
                break;
            if (type != 2 && level == 2)
                return (int64_t)((r.b >> 22) + 1) * ((r.b >> 12 & 1023) + 1) * ((r.b & 4095) + 1) * ((int64_t)r.c + 1);
        }
    }
    return 0;
}

static int is_amd(void)
{
    const registers r = cpuid(0);
    return r.b == 0x68747541 && r.d == 0x69746e65 && r.c == 0x444d4163; /* AuthenticAMD */
}

int frnn_cpu_halves_avx512(void)
{
    if (!frnn_cpu_has_avx512() || !is_amd() || cpuid(LEAF_UNITS_AMD & 0x80000000u).a < LEAF_UNITS_AMD)
        return 0;
    return (cpuid(LEAF_UNITS_AMD).a & (LEAF_UNITS_A_256 | LEAF_UNITS_A_512)) == LEAF_UNITS_A_256;
}

#else

int frnn_cpu_has_avx2(void)
{
    return 0;
}

int frnn_cpu_has_avx512(void)
{
    return 0;
}

int frnn_cpu_has_avx512vnni(void)
{
    return 0;
}

static int64_t l2_cache_bytes(void)
{
    return 0;
}

static int is_amd(void)
{
    return 0;
}

int frnn_cpu_halves_avx512(void)
{
    return 0;
}

#endif

/* The processor is asked once: a hypervisor takes microseconds to answer. */
static int64_t once(_Atomic int64_t *answer, int64_t (*ask)(void))
{
    int64_t known = atomic_load_explicit(answer, memory_order_relaxed);
    if (known == 0) {
        known = ask();
        atomic_store_explicit(answer, known, memory_order_relaxed);
    }
    return known;
}

static int64_t l2_cache_or_megabyte(void)
{
    const int64_t bytes = l2_cache_bytes();
    return bytes ? bytes : (int64_t)1 << 20;
}

int64_t frnn_cpu_l2_cache_bytes(void)
{
    static _Atomic int64_t bytes;
    return once(&bytes, l2_cache_or_megabyte);
}

/* Zen's third-level cache belongs to a few cores and answers in 50 cycles, which its prefetchers cover; a Xeon's is the whole chip's. */
static int64_t l3_distance(void)
{
    return is_amd() ? 1 : 2;
}

int frnn_cpu_l3_is_near(void)
{
    static _Atomic int64_t distance;
    return once(&distance, l3_distance) == 1;
}

int frnn_cpu_count(void)
{
#if defined(_WIN32)
    DWORD_PTR process, system;
    int n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &process, &system))
        for (; process; process &= process - 1)
            n++;
    return n > 0 ? n : 1;
#else
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
#endif
}
