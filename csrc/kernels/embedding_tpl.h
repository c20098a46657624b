/* Embedding: y[i] = weight[ids[i]], and its gradient dweight[ids[i]] += dy[i] in ascending i. Negative ids are skipped by
 * the gradient. A thread owns columns [column0, column1), so the sum of a row has one order for any thread count. */

static void FN(embedding_gather)(int64_t n, int64_t width, const int64_t *ids, const void *weight, void *y)
{
    for (int64_t i = 0; i < n; i++)
        memcpy((real *)y + i * width, (const real *)weight + ids[i] * width, sizeof(real) * (size_t)width);
}

static void FN(embedding_scatter)(int64_t n, int64_t width, int64_t column0, int64_t column1, const int64_t *ids,
                                  const void *dy, void *dweight)
{
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0)
            continue;
        const real *from = (const real *)dy + i * width;
        real *to = (real *)dweight + ids[i] * width;
        for (int64_t j = column0; j < column1; j++)
            to[j] += from[j];
    }
}
