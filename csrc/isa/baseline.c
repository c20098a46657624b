/* the compiler's default for this architecture */
#define FRNN_ISA baseline
#define FRNN_VECTOR_BYTES 16
#define FRNN_VECTOR_REGISTERS 16
#include "kernels/all_tpl.h"
