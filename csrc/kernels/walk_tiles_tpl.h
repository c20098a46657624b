/* The walk of packed reals: how rows and panels make tiles, worked out once for all steps of a sequence; where weights come from beyond
 * the caches, which tiles fetch them; and one or two rows, of which a tile takes several panels. */

/* Where the vectors of `count` panels lie in a row whose gates start at gate[0], gate[1], ..., from the first unit on. */
FRNN_INLINE void FN(vector_offsets)(const frnn_panels *b, int count, int units, const int64_t *gate, int64_t *offset)
{
    for (int j = 0; j < count; j++)
        for (int64_t g = 0; g < b->gates; g++)
            for (int u = 0; u < units; u++) {
                *offset++ = gate[g] + (j * b->units + u) * VL;
                FRNN_KEEP_SCALAR;
            }
}

#define WALK_ROOMY_CACHE (2 * 1024 * 1024)

/* Whether the second-level cache keeps too little of the weights of this walk from one step to the next, and tiles can do
 * something about it: with 16 registers the first tile of a panel fetches it, a little ahead of itself; with 32 the last tiles
 * of a panel fetch the next, and know nothing of joint panels; where the third-level cache is near they only lose time by it.
 * Cores with a cache of less than 2 MB have fewer misses under way. Of a cache larger than that, weights of the input and of the
 * state each want a half. Two tiles have little time to fetch a panel. */
FRNN_INLINE int FN(is_far)(const FN(walk_args) *w, int NV)
{
    const frnn_panels *b = w->b;
    const int64_t fewest = TILE_SLICED ? 1 : TILE_ROWS(NV); /* rows that are too few */
    if (NV < 3 || w->m <= fewest || b->format || !w->segments->count)
        return 0;
    if (!TILE_SLICED && (w->joint || frnn_cpu_l3_is_near()))
        return 0;
    const int64_t bytes = b->depth * b->gates * (w->unit1 - w->unit0) * (int64_t)sizeof(real);
    const int64_t cache = frnn_cpu_l2_cache_bytes();
    if (!TILE_SLICED && cache >= WALK_ROOMY_CACHE)
        return bytes >= (w->m <= 2 * TILE_ROWS(NV) ? cache : cache / 2);
    return bytes >= (TILE_SLICED || w->m <= 2 * TILE_ROWS(NV) ? cache * 3 : cache / 2 * 3);
}

/* The terms of these columns of an operand, times panels of b. Borrowed panels lie side by side, slices too. */
FRNN_INLINE void FN(add_segment)(FN(tile_args) *t, const frnn_panels *b, size_t operand, int64_t offset, int64_t length)
{
    t->segment[t->segments++] = (FN(tile_segment)){.operand = operand,
                                                   .offset = offset,
                                                   .length = length,
                                                   .slice_stride = (b->format ? 1 : b->depth) * 2 * VL,
                                                   .panel_stride = FN(panel_data)(b, 1) - FN(panel_data)(b, 0)};
}

/* Where the segments begin in panel p, one of those that a tile is for or the shorter one that it takes with them. */
FRNN_INLINE void FN(point_segments)(const FN(walk_args) *w, FN(tile_args) *t, const int shorter, int64_t p,
                                    int64_t k_stride)
{
    FN(tile_segment) *segment = t->segment;
    const FN(tile_segment) *const end = segment + t->segments;
    *(shorter ? &t->tail_stride : &t->k_stride) = k_stride;
    if (w->joint) {
        *(shorter ? &segment->tail : &segment->b) = (const real *)w->joint->data + p * segment->panel_stride;
        segment++;
    }
    for (const real *b = w->b->data; segment < end; b += segment->length * k_stride, segment++)
        *(shorter ? &segment->tail : &segment->b) = b + p * segment->panel_stride;
}

/* A panel of such weights, and of the next one what its first tiles want: the last few tiles fetch it, the others lose nothing
 * by it. A panel may be larger than the cache itself: then it comes in blocks of terms that stay there while some tiles use
 * them, each fetching its share of the block that comes next. Until the last block sums are held in between, which changes
 * none. */
#define WALK_HELD_TILES 16
#define WALK_FETCHING_TILES 6
static FRNN_NOINLINE void FN(walk_panel_far)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, FN(tile_args) t,
                                             const int64_t *init_offset, const int64_t *out_offset)
{
    const frnn_panels *b = w->b;
    const frnn_segments *all = w->segments;
    const int units = (int)FN(panel_units)(b, p), NV = (int)b->gates * units;
    const int64_t width = b->units * VL, next = w->backwards ? p - 1 : p + 1;
    const real *next_panel = next * width < w->unit0 || next * width >= w->unit1 ? NULL : FN(panel_data)(b, next);
    const int64_t term = NV * VL * (int64_t)sizeof(real); /* bytes of weights that each term of a tile needs */
    const int64_t most = FRNN_MAX(frnn_cpu_l2_cache_bytes() / 8 / term, TILE_STRETCH);
    const int64_t parts =
        b->depth <= most ? 0 : FN(tile_count)(all->length, most); /* of a segment; 0: one block in all */
    const int64_t part = parts ? FN(tile_count)(all->length, parts) : all->length;
    const int64_t blocks = parts ? parts * all->count : 1;
    const int64_t tiles = FN(tile_count)(w->m, TILE_ROWS(NV));
    vec held[WALK_HELD_TILES][TILE_ACCUMULATORS];
    t.count = 1;
    FN(point_segments)(w, &t, 0, p, t.k_stride);
    t.unit = p * width;
    t.init_offset = init_offset;
    t.fetch_line = p * w->fetch_lines;
    t.fetch_lines = w->fetch_lines ? FN(tile_count)(w->fetch_lines, parts ? blocks : all->count) : 0;
    const int64_t together = parts ? WALK_HELD_TILES : tiles;
    for (int64_t first = 0; first < tiles; first += together) {
        const int64_t beyond = FRNN_MIN(tiles, first + together);
        const int64_t fetching = parts ? first : FRNN_MAX(beyond - WALK_FETCHING_TILES, first); /* from this tile on */
        for (int64_t j = 0; j < blocks; j++) {
            const int last = j == blocks - 1;
            if (parts) {
                const int64_t s = j / parts, k = j % parts * part;
                t.segments = 1;
                t.segment[0].length = FRNN_MIN(part, all->length - k);
                t.segment[0].offset = all->offset[s] + k;
                t.segment[0].b = FN(panel_data)(b, p) + (s * all->length + k) * NV * VL;
                t.fetch_line = p * w->fetch_lines + j * t.fetch_lines;
            }
            const int64_t length = t.segment[0].length, lines = t.segments * length * term / FRNN_CACHE_LINE;
            const char *ahead = (const char *)(!last             ? t.segment[0].b + length * NV * VL
                                               : beyond == tiles ? next_panel
                                                                 : FN(panel_data)(b, p));
            const int64_t stretches = t.segments * FN(tile_count)(length, TILE_STRETCH);
            t.ahead_lines = ahead ? FN(tile_count)(lines, stretches * (beyond - fetching)) : 0;
            t.out_offset = last ? out_offset : NULL;
            for (int64_t i = first; i < beyond; i++) {
                const int64_t row = FN(tile_begin)(w->m, tiles, i);
                const int R = (int)(FN(tile_begin)(w->m, tiles, i + 1) - row);
                t.rows = (const char *)w->rows + (size_t)row * w->row_size;
                t.out = w->out ? w->out + row : NULL;
                vec *const sums = held[parts ? i - first : 0];
                t.acc = sums;
                t.resumed = j ? sums : NULL;
                if (i < fetching) {
                    FN(tiles)[R][NV][1](&t);
                } else {
                    t.ahead = ahead ? ahead + (i - fetching) * stretches * t.ahead_lines * FRNN_CACHE_LINE : NULL;
                    FN(tiles_far)[R][NV](&t);
                }
                if (last && !t.out_offset)
                    FN(walk_finish)(w, epilogue, row, R, p, 1, units, sums);
            }
        }
    }
}

/* Bytes: half of a first-level cache, which keeps a panel while tiles take both slices at once. */
#define WALK_SMALL_PANEL (16 * 1024)

/* Bytes: what a first-level cache keeps of the weights from one step to the next, beside what else a step touches. */
#define WALK_KEPT_BYTES (28 * 1024)

/* Sums that a tile needs for its multiply-adds not to wait for each other; a whole vector of AVX-512 takes so long to load that three
 * do (measured where it counts as two). */
#define WALK_KEPT_CHAINS (FRNN_VECTOR_BYTES == 64 ? 3 : 4)

/* How rows, and the vectors of a panel, make tiles: the same for all panels of so many vectors. */
typedef struct FN(walk_tiling) {
    int units, NV;           /* of a panel, */
    int64_t depth;           /* which has so many terms */
    int panels, most_panels; /* of a tile, as a rule and at most */
    int whole_rows;          /* of a tile that takes all vectors, at most: others take a slice */
    int far;
    int64_t tiles, rows, longer;       /* so many rows each, the first `longer` tiles one more */
    int64_t epilogues, epilogue_tiles; /* which take so many tiles each, the first `epilogues_longer` one more */
    int64_t epilogues_longer;
    int64_t k_stride;                       /* from a k of b to the next */
    int64_t init_offset[TILE_ACCUMULATORS]; /* [panels][NV] */
    int64_t out_offset[TILE_ACCUMULATORS];
} FN(walk_tiling);

/* What a walk works out from its arguments, so that the next step of a sequence need not do so again: of what it depends on, only
 * the numbers of rows and of segments change between steps. */
typedef struct FN(walk_plan) {
    int64_t m, segments; /* of the walk that it is for */
    FN(walk_range) range;
    int64_t most; /* panels at a time, */
    int joined;   /* and the shorter one with the last of them */
    int one_tile; /* takes all rows */
    FN(tile_args) tile;
    FN(walk_tiling) tiling[2]; /* of full panels, and of the shorter one */
} FN(walk_plan);

static FRNN_NOINLINE void FN(make_tiling)(const FN(walk_args) *w, int units, FN(walk_tiling) *g)
{
    const frnn_panels *b = w->b;
    const int NV = (int)b->gates * units;
    g->depth = b->depth + (w->joint ? w->joint->depth : 0);
    const int most = TILE_ROWS(g->depth * NV * FRNN_VECTOR_BYTES > WALK_SMALL_PANEL ? TILE_SLICE(NV) : NV);
    g->units = units;
    g->NV = NV;
    g->panels = w->m > 2 ? 1 : TILE_PANELS(w->m, NV);
    g->most_panels = w->m > 2 ? 1 : TILE_MOST_PANELS(w->m, NV);
    g->whole_rows = TILE_ROWS(NV);
    g->far = FN(is_far)(w, NV);
    g->tiles = FN(tile_count)(w->m, most);
    g->rows = w->m / g->tiles;
    g->longer = w->m % g->tiles;
    g->epilogues = FN(tile_count)(g->tiles, EPILOGUE_ROWS / (g->rows + (g->longer > 0)));
    g->epilogue_tiles = g->tiles / g->epilogues;
    g->epilogues_longer = g->tiles % g->epilogues;
    g->k_stride = b->format == FRNN_PANELS_OF_COLUMNS ? b->row : TILE_SLICE(NV) * VL;
    const int panels = FRNN_MIN(g->most_panels + 1, TILE_ACCUMULATORS / NV); /* and a shorter one */
    if (w->init_gate)
        FN(vector_offsets)(b, panels, units, w->init_gate, g->init_offset);
    if (w->out)
        FN(vector_offsets)(b, panels, units, w->out_gate, g->out_offset);
}

static FRNN_NOINLINE void FN(make_plan)(const FN(walk_args) *w, FN(walk_plan) *plan)
{
    const frnn_panels *b = w->b;
    const int tail = (int)((b->n + VL - 1) / VL % b->units);
    FN(tile_args) *t = &plan->tile;
    FN(walk_tiling) *g = plan->tiling;
    plan->m = w->m;
    plan->segments = w->segments->count;
    plan->range = FN(range_of)(w);
    FN(make_tiling)(w, (int)b->units, &g[0]);
    if (tail)
        FN(make_tiling)(w, tail, &g[1]);
    plan->joined = tail && b->gates == 1 && b->units == 4 && w->m <= 2 && FN(tiles_tail)[w->m][1][tail];
    /* A tile of several panels goes through all of them term by term: more than are kept would evict each other. But a tile has its
     * chains to hide a multiply-add behind. */
    const int64_t fits = WALK_KEPT_BYTES / FRNN_MAX(g->depth * g->NV * FRNN_VECTOR_BYTES, 1);
    const int64_t kept = fits == 1 && w->m * g->NV < WALK_KEPT_CHAINS ? 2 : fits;
    if (!plan->joined && kept > 0 && kept < FN(panel_count)(b)) {
        g->panels = (int)FRNN_MIN(g->panels, kept);
        g->most_panels = (int)FRNN_MIN(g->most_panels, kept);
    }
    plan->most = g[0].most_panels;
    if (w->m <= EPILOGUE_CHAINS / 2 && !w->out && (b->units == 1 || (b->gates == 1 && w->m == 1)) &&
        (TILE_SLICED || !g[0].far))
        plan->most = FRNN_MAX(plan->most, EPILOGUE_CHAINS / (w->m * b->units));
    plan->one_tile = g[0].tiles == 1 && (!tail || g[1].tiles == 1);
    if (plan->joined)
        plan->most = FRNN_MIN(plan->most, EPILOGUE_CHAINS / 4 - 1);
    t->row_size = w->row_size;
    t->init = w->init;
    t->slice = 0;
    t->segments = 0;
    if (w->joint)
        FN(add_segment)(t, w->joint, w->joint_operand, 0, w->joint->depth);
    for (int64_t s = 0; s < w->segments->count; s++)
        FN(add_segment)(t, b, w->operand, w->segments->offset[s], w->segments->length);
    t->shared_init = w->shared_init;
    t->fetch = w->fetch;
    t->fetch_lines = 0;
}

/* What a call of tiles moves, or where it begins: `count` tiles from `row` on and n panels from p on. */
FRNN_INLINE void FN(aim_tiles)(const FN(walk_args) *w, const FN(walk_tiling) *g, FN(tile_args) *t, int64_t row,
                               int64_t count, int slices, int64_t p, int n, int whole, vec *acc)
{
    t->count = count;
    t->slices = slices;
    t->rows = (const char *)w->rows + (size_t)row * w->row_size;
    t->unit = p * w->b->units * VL;
    t->init_offset = w->init_gate ? g->init_offset : NULL;
    t->out = whole ? w->out + row : NULL;
    t->out_offset = whole ? g->out_offset : NULL;
    t->acc = acc;
    t->fetch_line = p * w->fetch_lines;
    if (w->fetch_lines)
        t->fetch_lines = FN(tile_count)(n * w->fetch_lines, FRNN_MAX(t->segments, 1) * slices);
}

/* Panels p to p + NP - 1 over all rows, a tile of `context` at a time. An epilogue gets as many rows as it takes. */
static void FN(walk_rows)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *context)
{
    FN(walk_plan) *plan = context;
    FN(tile_args) *t = &plan->tile;
    const FN(walk_tiling) *g = &plan->tiling[p >= plan->range.full];
    const int NV = g->NV, units = g->units;
    const int whole = w->out && ((p + NP - 1) * w->b->units + units) * VL <= w->out_n;
    vec acc[EPILOGUE_CHAINS * 4];
    t->acc_stride = NV;
    if (g->far && !TILE_SLICED) {
        t->k_stride = g->k_stride;
        FN(walk_panel_far)(w, epilogue, p, *t, w->init_gate ? g->init_offset : NULL, whole ? g->out_offset : NULL);
        return;
    }
    const int64_t epilogues = whole ? 1 : g->epilogues;
    for (int64_t e = 0, tile = 0, row = 0; e < epilogues; e++) {
        const int64_t end = whole ? g->tiles : tile + g->epilogue_tiles + (e < g->epilogues_longer);
        const int64_t taller = FRNN_MIN(FRNN_MAX(g->longer - tile, 0), end - tile); /* tiles of this epilogue */
        const int64_t together = (end - tile) * g->rows + taller;                   /* rows */
        for (int done = 0; done < NP; done++) {
            const int j = w->backwards ? NP - 1 - done : done;
            FN(point_segments)(w, t, 0, p + j, g->k_stride);
            for (int64_t i = tile, above = 0, count; i < end; i += count) {
                const int R = (int)(g->rows + (i < g->longer)), width = R > g->whole_rows ? TILE_SLICE(NV) : NV;
                count = i < g->longer ? taller : end - i;
                FN(aim_tiles)(w, g, t, row + above, count, 1 + (width < NV), p + j, 1, whole,
                              acc + (j * together + above) * NV);
                above += count * R;
                (g->far && i == 0 && FN(tiles_far)[R][width] ? FN(tiles_far)[R][width] : FN(tiles)[R][width][1])(t);
            }
        }
        if (!whole)
            FN(walk_finish)(w, epilogue, row, (int)together, p, NP, units, acc);
        tile = end;
        row += together;
    }
}

/* The same where one tile takes all rows, of several panels: one or two rows have too few chains in one, or in a shorter one. An
 * epilogue gets all these panels: its chains are long, and between two epilogues a processor waits for the end of one. */
static void FN(walk_few_rows)(const FN(walk_args) *w, FN(epilogue) epilogue, int64_t p, int NP, void *context)
{
    FN(walk_plan) *plan = context;
    FN(tile_args) *t = &plan->tile;
    const FN(walk_tiling) *g = &plan->tiling[p >= plan->range.full];
    const int NV = g->NV, R = (int)w->m, width = R > g->whole_rows ? TILE_SLICE(NV) : NV;
    const int tail = NP > 1 && p + NP > plan->range.full ? plan->tiling[1].units : 0, last = tail ? tail : g->units;
    const int whole = w->out && ((p + NP - 1) * w->b->units + last) * VL <= w->out_n;
    vec acc[EPILOGUE_CHAINS * 4];
    t->acc_stride = NV;
    for (int done = 0, n; done < NP; done += n) {
        n = tail && R > 1 ? NP : (int)FN(walk_part)(NP - done, g->panels, g->most_panels);
        const int j = w->backwards ? NP - done - n : done;
        FN(point_segments)(w, t, 0, p + j, g->k_stride);
        FN(aim_tiles)(w, g, t, 0, 1, 1 + (width < NV), p + j, n, whole, acc + j * R * NV);
        if (tail && j + n == NP) {
            FN(point_segments)(w, t, 1, p + NP - 1, plan->tiling[1].k_stride);
            FN(tiles_tail)[R][n - 1][tail](t);
        } else {
            const int streamed = g->far && n == 1 && FN(tiles_far)[R][width];
            (streamed ? FN(tiles_far)[R][width] : FN(tiles)[R][width][n])(t);
        }
    }
    if (!whole)
        FN(walk_finish)(w, epilogue, 0, R, p, NP, last, acc);
}

static FRNN_NOINLINE void FN(walk_tiles)(const FN(walk_args) *w, FN(epilogue) epilogue)
{
    FN(walk_plan) unkept, *plan = w->plan ? w->plan : &unkept;
    if (w->m == 0)
        return;
    if (!w->plan || plan->m != w->m || plan->segments != w->segments->count)
        FN(make_plan)(w, plan);
    else if (plan->range.unit0 != w->unit0 || plan->range.unit1 != w->unit1)
        plan->range = FN(range_of)(w);
    if (plan->one_tile && (TILE_SLICED || !plan->tiling[0].far))
        FN(walk_groups)(w, epilogue, &plan->range, plan->most, plan->joined, FN(walk_few_rows), plan);
    else
        FN(walk_groups)(w, epilogue, &plan->range, plan->most, 0, FN(walk_rows), plan);
}
