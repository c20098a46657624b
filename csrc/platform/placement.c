#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu, cpu_set_t */
#endif
#include "platform/placement.h"

#if defined(__linux__)

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(cpu_set_t) == sizeof(frnn_cores), "cpu_set_t has another size");

int frnn_thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

int frnn_forbid_this_core(int thread, int threads, frnn_cores *allowed)
{
    cpu_set_t cores;
    const int here = sched_getcpu();
    if (thread <= 0 || here < 0 || here >= CPU_SETSIZE || sched_getaffinity(thread, sizeof cores, &cores) != 0)
        return 0;
    if (!CPU_ISSET(here, &cores) || CPU_COUNT(&cores) < threads)
        return 0;
    memcpy(allowed, &cores, sizeof cores);
    CPU_CLR(here, &cores);
    return CPU_COUNT(&cores) > 0 && sched_setaffinity(thread, sizeof cores, &cores) == 0;
}

void frnn_allow_cores(const frnn_cores *allowed)
{
    cpu_set_t cores;
    memcpy(&cores, allowed, sizeof cores);
    sched_setaffinity(0, sizeof cores, &cores);
}

#else

int frnn_thread_id(void)
{
    return 0;
}

int frnn_forbid_this_core(int thread, int threads, frnn_cores *allowed)
{
    (void)thread, (void)threads, (void)allowed;
    return 0;
}

void frnn_allow_cores(const frnn_cores *allowed)
{
    (void)allowed;
}

#endif
