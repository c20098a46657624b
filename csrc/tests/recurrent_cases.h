/* The problems that the recurrent tests go through: every cell with every feature alone, with all of them and with random
 * sets of them, at sizes around the vector width, one of everything, primes, and sequences longer than a window. */
#ifndef FRNN_RECURRENT_CASES_H
#define FRNN_RECURRENT_CASES_H

#include "problem.h"

typedef void (*case_check)(const problem *, const settings *);

/* Calls check for every case of this ISA and dtype; memory is released after each. */
void for_recurrent_cases(int isa, int dtype, case_check check);

#endif
