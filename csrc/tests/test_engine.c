/* Tests of the engine without Python: `make test-c`, `make sanitize`, `make test-neon` in the directory above csrc/.
 *
 *   test_engine [--reduced] [--unfilled] [subject ...]
 *
 * --reduced takes smaller sizes (emulators, valgrind); --unfilled leaves fresh memory as malloc gave it, so that
 * valgrind's memcheck sees what a result takes from it. */
#include <stdio.h>
#include <string.h>

#include "testing.h"

/* clang-format off */
#define SUBJECTS(X)                                                                                                    \
    X(machine) X(float_environment) X(pool)                                                                            \
    X(simd) X(recurrent_forward) X(recurrent_backward) X(invariance)                                                   \
    X(pack) X(linear) X(quantized) X(ops) X(ctc) X(optimizers) X(tokens)
/* clang-format on */

#define DECLARE(subject) void test_##subject(void);
SUBJECTS(DECLARE)

#define ROW(subject) {#subject, test_##subject},
static const struct {
    const char *name;
    void (*run)(void);
} subjects[] = {SUBJECTS(ROW)};
#define COUNT (sizeof subjects / sizeof subjects[0])

int main(int argc, char **argv)
{
    int chosen[COUNT] = {0}, any = 0;
    for (int i = 1; i < argc; i++) {
        int known = 1;
        if (strcmp(argv[i], "--reduced") == 0) {
            reduced = 1;
        } else if (strcmp(argv[i], "--unfilled") == 0) {
            memory_unfilled = 1;
        } else {
            known = 0;
            for (size_t s = 0; s < COUNT; s++)
                if (strcmp(argv[i], subjects[s].name) == 0)
                    known = any = chosen[s] = 1;
        }
        if (!known) {
            fprintf(stderr, "unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    if (frnn_start(NULL) != FRNN_OK) {
        fprintf(stderr, "FASTRNN_ISA names no instruction set that this build has and this machine runs\n");
        return 2;
    }
    for (size_t s = 0; s < COUNT; s++)
        if (!any || chosen[s])
            subjects[s].run();
    return report() != 0;
}
