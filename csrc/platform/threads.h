/* Mutex, condition and detached thread on POSIX and Windows: just what the pool needs. */
#ifndef FRNN_THREADS_H
#define FRNN_THREADS_H

#include "platform/compiler.h"

#if defined(_WIN32)

#include <windows.h>

typedef SRWLOCK frnn_mutex;
typedef CONDITION_VARIABLE frnn_condition;
#define FRNN_MUTEX_INIT SRWLOCK_INIT
#define FRNN_CONDITION_INIT CONDITION_VARIABLE_INIT
#define frnn_yield() SwitchToThread()
#define frnn_mutex_lock(m) AcquireSRWLockExclusive(m)
#define frnn_mutex_trylock(m) (TryAcquireSRWLockExclusive(m) != 0)
#define frnn_mutex_unlock(m) ReleaseSRWLockExclusive(m)
#define frnn_condition_wait(c, m) SleepConditionVariableSRW(c, m, INFINITE, 0)
#define frnn_condition_broadcast(c) WakeAllConditionVariable(c)
#define FRNN_THREAD_FUNCTION static DWORD WINAPI
#define FRNN_THREAD_RETURN return 0

FRNN_INLINE long long frnn_nanoseconds(void)
{
    return (long long)GetTickCount64() * 1000000;
}

FRNN_INLINE int frnn_thread_start(DWORD(WINAPI *function)(void *), void *argument)
{
    HANDLE handle = CreateThread(NULL, 0, function, argument, 0, NULL);
    if (!handle)
        return 0;
    CloseHandle(handle);
    return 1;
}

#else

#include <pthread.h>
#include <sched.h>
#include <time.h>

typedef pthread_mutex_t frnn_mutex;
typedef pthread_cond_t frnn_condition;
#define FRNN_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define FRNN_CONDITION_INIT PTHREAD_COND_INITIALIZER
#define frnn_yield() sched_yield()
#define frnn_mutex_lock(m) pthread_mutex_lock(m)
#define frnn_mutex_trylock(m) (pthread_mutex_trylock(m) == 0)
#define frnn_mutex_unlock(m) pthread_mutex_unlock(m)
#define frnn_condition_wait(c, m) pthread_cond_wait(c, m)
#define frnn_condition_broadcast(c) pthread_cond_broadcast(c)
#define FRNN_THREAD_FUNCTION static void *
#define FRNN_THREAD_RETURN return NULL

FRNN_INLINE long long frnn_nanoseconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

FRNN_INLINE int frnn_thread_start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0)
        return 0;
    pthread_detach(thread);
    return 1;
}

#endif

FRNN_INLINE void frnn_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
