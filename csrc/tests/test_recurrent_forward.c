/* Forward, in inference, in training and in place, against the plain cells. */
#include "recurrent_cases.h"

/* An output is a sum of I + P products and a few roundings, T times over a map that does not expand much. */
static double tolerance(const problem *q, int dtype)
{
    return real_eps(dtype) * (double)(8 + q->I + q->P) * 4 * magnification(q);
}

static void compare(const problem *q, const settings *s, const outputs *expected, const char *mode)
{
    const outputs seen = engine_run(q, s);
    const double limit = tolerance(q, s->dtype);
    const double y = distance(q->T * q->N * q->P, seen.y, expected->y),
                 hn = distance(q->N * q->P, seen.hn, expected->hn);
    CHECK(y <= limit, "%s cell %d, %s: y off by %g, allowed %g", mode, q->cell, describe(q), y, limit);
    CHECK(hn <= limit, "%s cell %d, %s: hn off by %g, allowed %g", mode, q->cell, describe(q), hn, limit);
    if (has_c(q)) {
        const double cn = distance(q->N * q->H, seen.cn, expected->cn);
        CHECK(cn <= limit, "%s cell %d, %s: cn off by %g, allowed %g", mode, q->cell, describe(q), cn, limit);
    }
}

static void check(const problem *q, const settings *s)
{
    const outputs expected = plain_forward(q);
    settings training = *s, in_place = *s, by_table = *s;
    training.backward = 1;
    in_place.in_place = 1;
    by_table.by_table = 1;
    compare(q, s, &expected, "inference");
    compare(q, &training, &expected, "training");
    compare(q, &in_place, &expected, "in place");
    if (!q->input_mask)
        compare(q, &by_table, &expected, "by a table");
}

void test_recurrent_forward(void)
{
    FOR_ISAS(isa)
    FOR_DTYPES(dtype)
    {
        group_begin("recurrent forward %s %s", frnn_isa_name(isa), dtype_names[dtype]);
        for_recurrent_cases(isa, dtype, check);
        group_end();
    }
}
