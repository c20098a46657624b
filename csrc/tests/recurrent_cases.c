#include "recurrent_cases.h"

#include "rnn_plan.h"

static const int feature_sets[] = {0,
                                   WITH_BIAS,
                                   WITH_STATE,
                                   WITH_BIAS | WITH_STATE,
                                   RAGGED | WITH_STATE,
                                   RAGGED | WITH_STATE | REVERSE,
                                   RESETS | WITH_STATE,
                                   RESETS | WITH_STATE | REVERSE | RAGGED,
                                   INPUT_MASK,
                                   HIDDEN_MASK | WITH_STATE,
                                   ZONEOUT | WITH_STATE,
                                   REVERSE,
                                   PROJECTION | WITH_STATE,
                                   PROJECTION | ZONEOUT | WITH_STATE,
                                   ALL_FEATURES & ~PROJECTION,
                                   ALL_FEATURES};

static void one_case(int isa, int dtype, case_check check, int cell, int features, const int64_t *size)
{
    const problem q = make_problem(cell, features, size[0], size[1], size[2], size[3]);
    const settings s = {.dtype = dtype, .isa = isa, .threads = (int)(1 + below(3))};
    check(&q, &s);
    release();
}

void for_recurrent_cases(int isa, int dtype, case_check check)
{
    const int64_t V = lanes_of(isa, dtype);
    /* T, N, I, H */
    const int64_t sizes[]
                       [4] = {{1, 1, 1, 1},          {0, 3, 4, 5},         {3, 0, 4, 5},         {0, 0, 1, 1},
                              {5, 2, V, V},          {2, 7, V - 1, V + 1}, {4, 5, V + 1, V - 1}, {9, 7, 3, 4 * V + 1},
                              {3, 13, 5 * V + 2, 3}, {53, 1, 2, 7},        {3, 50, 7, 11},       {2, 3, 61, 37},
                              {70, 1, 2, 130}, /* threads share units from here on, where they meet after every step */
                              {3, 1, 2, 260}};
    const int sizes_count = (int)(sizeof sizes / sizeof sizes[0]);
    const int random_sets = reduced ? 1 : 4;
    seed(1);
    for (int cell = 0; cell < FRNN_CELL_COUNT; cell++) {
        for (size_t f = 0; f < sizeof feature_sets / sizeof feature_sets[0]; f++) {
            const int64_t size[4] = {6, 5, 3, V + 3};
            one_case(isa, dtype, check, cell, feature_sets[f], size);
        }
        for (int i = 0; i < sizes_count; i++)
            for (int k = 0; k < random_sets; k++)
                one_case(isa, dtype, check, cell, k == 0 ? WITH_BIAS | WITH_STATE : (int)below(ALL_FEATURES + 1),
                         sizes[i]);
    }
}
