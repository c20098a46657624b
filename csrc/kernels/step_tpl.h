/* What the steps of cells have in common: their products as walks over panels, zoneout, the gradient that reaches h. */

/* k previous + (1 - k) new */
FRNN_INLINE vec FN(zoneout)(vec k, vec previous, vec new)
{
    return v_fma(k, previous, (v_splat(1) - k) * new); /* exact at k = 0 and k = 1 */
}

/* The forward epilogues of a cell from one body, which takes `training` and `zoneout` as constants: to ask at every vector of
 * units is up to 3 % of an Elman layer's inference. Few layers have zoneout: it asks for training. */
#define FORWARD_EPILOGUES(cell, body)                                                                                  \
    static void FN(cell##_inference)(const void *s, int64_t row, int R, int64_t unit, int units, const vec *acc)       \
    {                                                                                                                  \
        body(0, 0, s, row, R, unit, units, acc);                                                                       \
    }                                                                                                                  \
    static void FN(cell##_training)(const void *s, int64_t row, int R, int64_t unit, int units, const vec *acc)        \
    {                                                                                                                  \
        body(1, 0, s, row, R, unit, units, acc);                                                                       \
    }                                                                                                                  \
    static void FN(cell##_zoneout)(const void *s, int64_t row, int R, int64_t unit, int units, const vec *acc)         \
    {                                                                                                                  \
        body(((const frnn_step_forward *)s)->training, 1, s, row, R, unit, units, acc);                                \
    }                                                                                                                  \
    static const FN(epilogue) FN(cell##_epilogues)[] = {FN(cell##_inference), FN(cell##_training), FN(cell##_zoneout)};

FRNN_INLINE FN(epilogue) FN(forward_epilogue)(const frnn_step_forward *s, const FN(epilogue) epilogues[])
{
    return epilogues[s->zoneout_h || s->zoneout_c ? 2 : s->training];
}

/* Rows of neighbouring steps lie far apart, in streams that no hardware prefetcher follows. Saved rows come through walk_dh,
 * a few lines at a time: all in one epilogue would wait for each other. prev: backward reads c_prev or h_prev. */
FRNN_INLINE void FN(fetch_next)(const frnn_row_backward *row, int64_t unit, const int prev)
{
    __builtin_prefetch((const real *)row->dy_next + unit);
    if (prev)
        __builtin_prefetch((const real *)row->prev_next + unit);
}

/* Total gradient of h at this step: recurrent product through the mask, direct paths, dy. */
FRNN_INLINE vec FN(total_dh)(const frnn_step_backward *s, const frnn_row_backward *row, int64_t unit, vec acc)
{
    vec dh = acc;
    if (row->mask)
        dh = dh * FN(load_exact)(row->mask, unit, s->H);
    if (s->has_direct)
        dh = dh + v_load((const real *)row->dh_direct + unit);
    return dh + FN(load_exact)(row->dy, unit, s->H);
}

/* Cache lines for which a panel of b stands in a saved row of so many slots. */
FRNN_INLINE int64_t FN(fetch_lines)(const frnn_panels *b, int slots)
{
    return FN(tile_count)(slots * b->units * VL * (int64_t)sizeof(real), FRNN_CACHE_LINE);
}

/* A product of a forward step: `operand` (a field of the row, from `offset` on) times b, its gates starting from these
 * slots of gates_in. In training, so many slots of the next saved rows are fetched. */
FRNN_INLINE void FN(walk_forward)(const frnn_step_forward *s, const frnn_panels *b, size_t operand, int64_t offset,
                                  const int slots[], int saved_slots, FN(epilogue) epilogue)
{
    int64_t init_gate[FRNN_MAX_GATES] = {0};
    for (int64_t g = 0; g < b->gates; g++)
        init_gate[g] = slots[g] * s->Hp;
    const frnn_segments segments = {.count = 1, .length = b->depth, .offset = {offset}};
    const FN(walk_args) w = {.b = b,
                             .segments = &segments,
                             .rows = s->rows,
                             .row_size = sizeof *s->rows,
                             .operand = operand,
                             .init = offsetof(frnn_row_forward, gates_in),
                             .init_gate = init_gate,
                             .joint = s->joint ? &s->input : NULL,
                             .joint_operand = offsetof(frnn_row_forward, x),
                             .shared_init = s->joint ? s->parameters : NULL,
                             .m = s->m,
                             .unit0 = s->unit0,
                             .unit1 = s->unit1,
                             .backwards = s->backwards,
                             .fetch = offsetof(frnn_row_forward, saved_next),
                             .fetch_lines = s->training ? FN(fetch_lines)(b, saved_slots) : 0,
                             .step = s,
                             .plan = s->walk_plans + (b == &s->candidate ? sizeof(FN(walk_plan)) : 0)};
    FN(walk)(&w, epilogue);
}

/* The recurrent product, its gates starting from the slots of gates_in in order. */
FRNN_INLINE void FN(walk_recurrent)(const frnn_step_forward *s, int saved_slots, FN(epilogue) epilogue)
{
    static const int in_order[FRNN_MAX_GATES] = {0, 1, 2, 3};
    FN(walk_forward)(s, &s->recurrent, offsetof(frnn_row_forward, operand), 0, in_order, saved_slots, epilogue);
}

/* A product of a backward step: these segments of `operand` (a field of the row) times b. So many slots of the next saved
 * rows are fetched. */
FRNN_INLINE void FN(walk_backward)(const frnn_step_backward *s, const frnn_panels *b, size_t operand,
                                   const frnn_segments *segments, int slots, FN(epilogue) epilogue)
{
    const FN(walk_args) w = {.b = b,
                             .segments = segments,
                             .rows = s->rows,
                             .row_size = sizeof *s->rows,
                             .operand = operand,
                             .init = operand,
                             .m = s->m,
                             .unit0 = s->unit0,
                             .unit1 = s->unit1,
                             .backwards = s->backwards,
                             .fetch = offsetof(frnn_row_backward, saved_next),
                             .fetch_lines = FN(fetch_lines)(b, slots),
                             .step = s,
                             .plan = s->walk_plans + (b == &s->candidate ? sizeof(FN(walk_plan)) : 0)};
    FN(walk)(&w, epilogue);
}

/* dh of this step from the dgates of the step after, and the cell's pointwise backward as its epilogue. The saved rows of the
 * step that comes next, of so many slots, are fetched meanwhile. */
FRNN_INLINE void FN(walk_dh)(const frnn_step_backward *s, int slots, FN(epilogue) epilogue)
{
    FN(walk_backward)(s, &s->recurrent, offsetof(frnn_row_backward, gates_next), &s->a_segments, slots, epilogue);
}
