/* Prefix beam search of the most likely labels (A. Graves, N. Jaitly, ICML 2014; A. Hannun et al., arXiv:1408.2873).
 *
 * A prefix is a node of a tree: its parent and its last label. For each of the most likely prefixes the search keeps the log
 * probabilities of all alignments so far that read as it and end in blank, or in its last label:
 *
 *   ends_blank' = either + log p(blank)
 *   ends_label' = logadd(ends_label + log p(label), [what its parent gives by log p(label)])
 *   a prefix gives to its extension by c:  (c is its last label ? ends_blank : either) + log p(c) + transition(label, c)
 *
 * Extensions that are in the beam themselves take their share by the second line, others are new candidates. The best
 * `beam_width` candidates stay, ties in the order in which they came. A prefix that comes again, after it had left the beam,
 * is the same node again, so that its extensions find it. All of it is in double: there is little of it.
 */
#include <math.h>
#include <string.h>

#include "dispatch.h"
#include "platform/arena.h"
#include "platform/compiler.h"
#include "platform/thread_pool.h"

typedef struct beam_entry {
    int64_t node;                          /* of a candidate: -1, if it may be a new one */
    int64_t parent, label;                 /* of the node; the root has neither: -1 */
    double ends_blank, ends_label, either; /* either: the sum of the two */
    int64_t order;
} beam_entry;

typedef struct beam_search {
    const frnn_ctc_beam_args *q;
    int64_t nodes, buckets;
    int64_t *parent, *label;           /* [1 + T W] of the nodes; 0 is the root */
    int64_t *place;                    /* [1 + T W] in the beam, or -1 */
    int64_t *table;                    /* [buckets] open addressing: nodes by parent and label, or -1 */
    beam_entry *beam, *heap;           /* [W]: heap[0] is the worst candidate */
    int64_t *first_child, *next_child; /* [W] of an entry, those of its extensions that are in the beam */
    int64_t size, candidates, order;
    double *log_p;   /* [C] */
    int64_t *marked; /* [C] by the last entry that has this extension in the beam */
} beam_search;

static beam_search carve(frnn_arena *arena, const frnn_ctc_beam_args *q, int64_t T)
{
    const int64_t nodes = 1 + T * q->beam_width;
    beam_search s = {.q = q, .buckets = 4};
    while (s.buckets < 2 * nodes)
        s.buckets *= 2;
    s.parent = frnn_take(arena, sizeof *s.parent * (size_t)nodes);
    s.label = frnn_take(arena, sizeof *s.label * (size_t)nodes);
    s.place = frnn_take(arena, sizeof *s.place * (size_t)nodes);
    s.table = frnn_take(arena, sizeof *s.table * (size_t)s.buckets);
    s.beam = frnn_take(arena, sizeof *s.beam * (size_t)q->beam_width);
    s.heap = frnn_take(arena, sizeof *s.heap * (size_t)q->beam_width);
    s.first_child = frnn_take(arena, sizeof *s.first_child * (size_t)q->beam_width);
    s.next_child = frnn_take(arena, sizeof *s.next_child * (size_t)q->beam_width);
    s.log_p = frnn_take(arena, sizeof *s.log_p * (size_t)q->C);
    s.marked = frnn_take(arena, sizeof *s.marked * (size_t)q->C);
    return s;
}

static double log_add(double a, double b)
{
    const double high = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

static void log_softmax(const frnn_ctc_beam_args *q, int64_t row, double *log_p)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t c = 0; c < q->C; c++) {
        const int64_t i = row * q->C + c;
        log_p[c] = q->dtype == FRNN_FLOAT32 ? (double)((const float *)q->logits)[i] : ((const double *)q->logits)[i];
        largest = log_p[c] > largest ? log_p[c] : largest;
    }
    for (int64_t c = 0; c < q->C; c++)
        sum += exp(log_p[c] - largest);
    const double lse = largest + log(sum);
    for (int64_t c = 0; c < q->C; c++)
        log_p[c] -= lse;
}

/* ---- the best candidates: a heap whose first is the worst ---- */

static int worse(const beam_entry *a, const beam_entry *b)
{
    return a->either < b->either || (a->either == b->either && a->order > b->order);
}

static void sift_down(beam_entry *heap, int64_t size, int64_t i)
{
    const beam_entry moved = heap[i];
    for (int64_t child = 2 * i + 1; child < size; child = 2 * i + 1) {
        if (child + 1 < size && worse(heap + child + 1, heap + child))
            child++;
        if (!worse(heap + child, &moved))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

static void offer(beam_search *s, beam_entry candidate)
{
    candidate.order = s->order++;
    if (!(candidate.either > -INFINITY)) /* nor NaN */
        return;
    if (s->candidates == s->q->beam_width) {
        if (worse(s->heap, &candidate)) {
            s->heap[0] = candidate;
            sift_down(s->heap, s->candidates, 0);
        }
        return;
    }
    int64_t i = s->candidates++;
    for (; i > 0 && worse(&candidate, s->heap + (i - 1) / 2); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = candidate;
}

/* ---- prefixes ---- */

static int64_t node_of(beam_search *s, int64_t parent, int64_t label)
{
    const uint64_t key = (uint64_t)parent * (uint64_t)s->q->C + (uint64_t)label;
    int64_t bucket = (int64_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (s->buckets - 1); /* Fibonacci hashing (Knuth) */
    for (; s->table[bucket] >= 0; bucket = (bucket + 1) & (s->buckets - 1)) {
        const int64_t node = s->table[bucket];
        if (s->parent[node] == parent && s->label[node] == label)
            return node;
    }
    const int64_t node = s->nodes++;
    s->table[bucket] = node;
    s->parent[node] = parent;
    s->label[node] = label;
    s->place[node] = -1;
    return node;
}

/* What an entry gives to its extension by c. */
static double given(const beam_search *s, const beam_entry *e, int64_t c)
{
    const double so_far = c == e->label ? e->ends_blank : e->either;
    const double *transition = s->q->transition;
    return so_far + s->log_p[c] + (transition ? transition[(e->label < 0 ? s->q->blank : e->label) * s->q->C + c] : 0);
}

static void step(beam_search *s, double best_gain)
{
    const frnn_ctc_beam_args *q = s->q;
    s->candidates = s->order = 0;
    for (int64_t i = 0; i < s->size; i++)
        s->first_child[i] = -1;
    for (int64_t i = 0; i < s->size; i++) {
        const beam_entry *e = s->beam + i;
        const int64_t parent = e->parent < 0 ? -1 : s->place[e->parent];
        beam_entry stays = *e;
        stays.ends_blank = e->either + s->log_p[q->blank];
        stays.ends_label = e->label < 0 ? -INFINITY : e->ends_label + s->log_p[e->label];
        if (parent >= 0) {
            stays.ends_label = log_add(stays.ends_label, given(s, s->beam + parent, e->label));
            s->next_child[i] = s->first_child[parent];
            s->first_child[parent] = i;
        }
        stays.either = log_add(stays.ends_blank, stays.ends_label);
        offer(s, stays);
    }
    for (int64_t c = 0; c < q->C; c++)
        s->marked[c] = -1;
    for (int64_t i = 0; i < s->size; i++) {
        const beam_entry *e = s->beam + i;
        if (s->candidates == q->beam_width && e->either + best_gain < s->heap[0].either)
            continue;
        for (int64_t child = s->first_child[i]; child >= 0; child = s->next_child[child])
            s->marked[s->beam[child].label] = i;
        for (int64_t c = 0; c < q->C; c++) {
            if (c == q->blank || s->marked[c] == i)
                continue;
            const double p = given(s, e, c);
            if (s->candidates == q->beam_width && p <= s->heap[0].either)
                continue;
            offer(s, (beam_entry){-1, e->node, c, -INFINITY, p, p, 0});
        }
    }
    for (int64_t i = 0; i < s->size; i++)
        s->place[s->beam[i].node] = -1;
    s->size = s->candidates;
    for (int64_t i = s->size - 1; i >= 0; i--) { /* the worst one goes last */
        beam_entry e = s->heap[0];
        s->heap[0] = s->heap[i];
        sift_down(s->heap, i, 0);
        if (e.node < 0)
            e.node = node_of(s, e.parent, e.label);
        s->beam[i] = e;
        s->place[e.node] = i;
    }
}

static double largest_of(int64_t n, const double *x)
{
    double largest = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

static void search_row(const frnn_ctc_beam_args *q, int64_t n, void *scratch)
{
    frnn_arena arena = {.base = scratch};
    beam_search s = carve(&arena, q, q->lengths[n]);
    const double best_transition = q->transition ? largest_of(q->C * q->C, q->transition) : 0;
    memset(s.table, 0xff, sizeof *s.table * (size_t)s.buckets);
    s.nodes = s.size = 1;
    s.parent[0] = s.label[0] = -1;
    s.place[0] = 0;
    s.beam[0] = (beam_entry){0, -1, -1, 0, -INFINITY, 0, 0};
    for (int64_t t = 0; t < q->lengths[n]; t++) {
        log_softmax(q, t * q->N + n, s.log_p);
        step(&s, largest_of(q->C, s.log_p) + best_transition);
    }
    for (int64_t k = 0; k < q->n_best; k++) {
        const int64_t out = n * q->n_best + k;
        int64_t count = 0;
        q->counts[out] = -1;
        q->scores[out] = -INFINITY;
        if (k >= s.size)
            continue;
        for (int64_t node = s.beam[k].node; node > 0; node = s.parent[node])
            count++;
        q->counts[out] = count;
        q->scores[out] = s.beam[k].either;
        for (int64_t node = s.beam[k].node; node > 0; node = s.parent[node])
            q->labels[out * q->T + --count] = s.label[node];
    }
}

static size_t thread_scratch(const frnn_ctc_beam_args *q)
{
    int64_t T = 0;
    for (int64_t n = 0; n < q->N; n++)
        T = FRNN_MAX(T, q->lengths[n]);
    frnn_arena arena = {0};
    carve(&arena, q, T);
    return arena.used;
}

static void beam_thread(void *context, int index, int threads)
{
    const frnn_ctc_beam_args *q = context;
    char *scratch = (char *)q->scratch + (size_t)index * thread_scratch(q);
    for (int64_t n = index; n < q->N; n += threads)
        search_row(q, n, scratch);
}

int frnn_ctc_beam_threads(const frnn_ctc_beam_args *q)
{
    return frnn_threads_for((double)q->T * (double)q->N * (double)q->C * (16.0 + (double)q->beam_width), q->N);
}

size_t frnn_ctc_beam_scratch(const frnn_ctc_beam_args *q)
{
    return (size_t)q->threads * thread_scratch(q);
}

void frnn_ctc_beam(const frnn_ctc_beam_args *q)
{
    frnn_ctc_beam_args copy = *q;
    frnn_parallel(beam_thread, &copy, q->threads);
}
