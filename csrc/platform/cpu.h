/* What this processor can run. Compiled at baseline: nothing here may use an instruction that is being asked about. */
#ifndef FRNN_CPU_H
#define FRNN_CPU_H

#include <stdint.h>

int frnn_cpu_has_avx2(void);
int frnn_cpu_has_avx512(void);
int frnn_cpu_has_avx512vnni(void);
int frnn_cpu_count(void);              /* cores this process may run on */
int64_t frnn_cpu_l2_cache_bytes(void); /* of one core; a megabyte where it does not say */
int frnn_cpu_l3_is_near(void);         /* weights come from there in time without being fetched by instructions */
int frnn_cpu_halves_avx512(void);      /* its units are 32 bytes wide: a vector of 64 counts as two */

#endif
