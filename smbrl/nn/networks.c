/* Whole multi-layer perceptrons in bfloat16, forward and backward, a block of rows at a time: what one layer makes
   stays in the processor's first cache until the next has read it. Products are bfloat16 summed in float, everything
   else is float. Needs AVX512-BF16; without it this file is empty and PyTorch's own operators do the work. */
#ifdef __AVX512BF16__
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;
enum { LINEAR, ELU, NORM_TANH, SCALAR };
enum { BLOCK = 24, BACK = 96, TALL = 6, WIDEST = 512, LONGEST = 1024 };

/* One layer. Packed weights hold two rows of a matrix side by side, element by element, as vdpbf16ps reads them, and
   are zero up to a multiple of 16 columns. They lie in panels of 64 columns (32 and 16 at the end), each of them
   whole in one piece: a product reads memory forwards, on few pages. */
typedef struct {
    const float *weight, *bias, *gain, *shift; /* the parameters; the last two of NORM_TANH only */
    bf16 *forward, *backward; /* packed: panels of (inputs / 2, outputs, 2), of (outputs / 2, inputs, 2) */
    float *padded;            /* the bias, as long as the packed columns */
    int64_t inputs, outputs, kind;
    int64_t transposed; /* whether the weight is (inputs, outputs), not (outputs, inputs) */
    int64_t dweight, dbias, dgain, dshift; /* where their gradients lie in the network's, in floats */
} layer;

/* Rows that are to be concatenated with the other inputs' rows. */
typedef struct {
    const void *rows; /* (rows / repeat, size) */
    float *grad;      /* like rows; NULL: not wanted */
    int64_t size, repeat, single; /* each row serves `repeat` rows in turn; single: float, else bfloat16 */
} input;

static inline int64_t wide(int64_t n) { return (n + 15) / 16 * 16; }
static inline __m512 load(const bf16 *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
static inline __m256i rounded(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }
static inline void store(bf16 *p, __m512 x) { _mm256_storeu_si256((__m256i *)p, rounded(x)); }
static inline __mmask16 first(int64_t n) { return n >= 16 ? 0xffff : (__mmask16)((1u << (n > 0 ? n : 0)) - 1); }
/* two rows of 16 as 16 pairs */
static inline __m512i paired(__m256i even, __m256i odd) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

static inline __m512 exponential(__m512 x) { /* relative error 3e-6 for x <= 0; NaN goes through */
    __m512 t = _mm512_mul_ps(_mm512_max_ps(_mm512_set1_ps(-87.0f), x), _mm512_set1_ps(1.44269504f));
    __m512 n = _mm512_roundscale_ps(t, 0), f = _mm512_sub_ps(t, n);
    __m512 p = _mm512_set1_ps(1.3333558e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}
static inline __m512 elu(__m512 x) {
    __mmask16 up = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
    return _mm512_mask_mov_ps(_mm512_sub_ps(exponential(x), _mm512_set1_ps(1.0f)), up, x);
}
static inline __m512 tangent(__m512 x) {
    __m512 one = _mm512_set1_ps(1.0f), t = exponential(_mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(-2.0f)));
    __m512 y = _mm512_div_ps(_mm512_sub_ps(one, t), _mm512_add_ps(one, t));
    __m512i sign = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32((int)0x80000000u));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(y), sign));
}

/* -- packing -------------------------------------------------------------------------------------------------- */

/* Where pair `pair` of the column's panel begins, and the column in it, in pairs; columns is a multiple of 16. */
static inline int64_t packed(int64_t pair, int64_t pairs, int64_t column, int64_t columns) {
    int64_t start = column / 64 * 64, panel = 64;
    if (columns - start < 64) {
        panel = columns - start < 32 ? 16 : 32;
        if (column - start >= panel) start += panel, panel = 16;
    }
    return start * pairs + pair * panel + column - start;
}

/* w (rows, columns) -> panels of pairs of rows (rows / 2, wide(columns), 2) */
static void pair_rows(const float *w, int64_t rows, int64_t columns, bf16 *out) {
    int64_t pairs = (rows + 1) / 2, across = wide(columns);
    for (int64_t r = 0; r < rows; r += 2)
        for (int64_t c = 0; c < columns; c += 16) {
            __mmask16 some = first(columns - c);
            __m256i even = rounded(_mm512_maskz_loadu_ps(some, w + r * columns + c));
            __m256i odd = _mm256_setzero_si256();
            if (r + 1 < rows) odd = rounded(_mm512_maskz_loadu_ps(some, w + (r + 1) * columns + c));
            _mm512_storeu_si512(out + 2 * packed(r / 2, pairs, c, across), paired(even, odd));
        }
}

/* w (rows, columns) -> panels of pairs of columns (columns / 2, wide(rows), 2) */
static void pair_columns(const float *w, int64_t rows, int64_t columns, bf16 *out) {
    int64_t pairs = (columns + 1) / 2, across = wide(rows);
    uint32_t *to = (uint32_t *)out, row[WIDEST / 2];
    for (int64_t r = 0; r < across; r++) {
        for (int64_t c = 0; c < 2 * pairs; c += 16) {
            __mmask16 some = r < rows ? first(columns - c) : 0;
            store((bf16 *)row + c, _mm512_maskz_loadu_ps(some, w + r * columns + c));
        }
        for (int64_t p = 0; p < pairs; p++) to[packed(p, pairs, r, across)] = row[p];
    }
}

/* Bring what smbrl_forward and smbrl_backward read up to date with the parameters. */
void smbrl_pack(const layer *layers, int64_t count) {
    for (const layer *l = layers; l < layers + count; l++) {
        if (l->kind == SCALAR) continue;
        memcpy(l->padded, l->bias, sizeof(float) * l->outputs);
        if (l->transposed) {
            pair_rows(l->weight, l->inputs, l->outputs, l->forward);
            pair_columns(l->weight, l->inputs, l->outputs, l->backward);
        } else {
            pair_columns(l->weight, l->outputs, l->inputs, l->forward);
            pair_rows(l->weight, l->outputs, l->inputs, l->backward);
        }
    }
}

/* -- products ------------------------------------------------------------------------------------------------- */

/* A panel of V * 16 columns of y = x w + bias for rows that are a multiple of TALL; y as bf16 after ELU or as float. Without
   bias the product is added to the floats, and bf16 stays without ELU. */
#define PRODUCT(V)                                                                                                    \
    static inline void product##V(const bf16 *x, int64_t across, int64_t rows, int64_t pairs, const bf16 *w,          \
                                  const float *bias, bf16 *y, int64_t ys, float *sum, int64_t ss) {                   \
        for (int64_t r = 0; r < rows; r += TALL) {                                                                    \
            __m512 a[TALL][V];                                                                                        \
            _Pragma("GCC unroll 6") for (int i = 0; i < TALL; i++)                                                    \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)                                                   \
                    a[i][v] = bias  ? _mm512_loadu_ps(bias + 16 * v)                                                  \
                              : sum ? _mm512_loadu_ps(sum + (r + i) * ss + 16 * v)                                   \
                                    : _mm512_setzero_ps();                                                                               \
            const uint32_t *from = (const uint32_t *)(x + r * across);                                                \
            for (int64_t p = 0; p < pairs; p++) {                                                                     \
                __m512bh b[V];                                                                                        \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)                                                   \
                    b[v] = (__m512bh)_mm512_loadu_si512(w + (p * V + v) * 32);                                        \
                _Pragma("GCC unroll 6") for (int i = 0; i < TALL; i++) {                                              \
                    __m512bh s = (__m512bh)_mm512_set1_epi32((int)from[i * (across / 2) + p]);                        \
                    _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)                                               \
                        a[i][v] = _mm512_dpbf16_ps(a[i][v], s, b[v]);                                                 \
                }                                                                                                     \
            }                                                                                                         \
            _Pragma("GCC unroll 6") for (int i = 0; i < TALL; i++)                                                    \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) {                                                 \
                    if (sum) _mm512_storeu_ps(sum + (r + i) * ss + 16 * v, a[i][v]);                                  \
                    else store(y + (r + i) * ys + 16 * v, bias ? elu(a[i][v]) : a[i][v]);                             \
                }                                                                                                     \
        }                                                                                                             \
    }
PRODUCT(4)
PRODUCT(2)
PRODUCT(1)

/* (rows, inputs) times packed (inputs / 2, outputs, 2), all columns */
static void product(const bf16 *x, int64_t across, int64_t rows, int64_t inputs, const bf16 *w, int64_t outputs,
                    const float *bias, bf16 *y, int64_t ys, float *sum, int64_t ss) {
    int64_t columns = wide(outputs), pairs = (inputs + 1) / 2, c = 0;
    rows = (rows + TALL - 1) / TALL * TALL;
#define COLUMNS(V)                                                                                                    \
    for (; c + 16 * V <= columns; c += 16 * V)                                                                        \
        product##V(x, across, rows, pairs, w + 2 * c * pairs, bias ? bias + c : 0, y ? y + c : 0, ys,                 \
                   sum ? sum + c : 0, ss);
    COLUMNS(4)
    COLUMNS(2)
    COLUMNS(1)
}

/* out (m, n) += a^T b over rows: a (rows / 2, wide(m), 2) and b (rows / 2, wide(n), 2) are pairs of rows */
#define OUTER(V)                                                                                                      \
    static inline void outer##V(const uint32_t *a, int64_t m, const uint32_t *b, int64_t n, int64_t from,             \
                                int64_t pairs, float *out) {                                                          \
        int64_t am = wide(m), bn = wide(n);                                                                           \
        for (int64_t i = 0; i < m; i += 4) {                                                                          \
            __m512 s[4][V];                                                                                           \
            _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++)                                                       \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) s[k][v] = _mm512_setzero_ps();                    \
            for (int64_t p = 0; p < pairs; p++) {                                                                     \
                __m512bh c[V];                                                                                        \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)                                                   \
                    c[v] = (__m512bh)_mm512_loadu_si512(b + p * bn + from + 16 * v);                                  \
                _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {                                                 \
                    __m512bh d = (__m512bh)_mm512_set1_epi32((int)a[p * am + i + k]);                                 \
                    _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)                                               \
                        s[k][v] = _mm512_dpbf16_ps(s[k][v], d, c[v]);                                                 \
                }                                                                                                     \
            }                                                                                                         \
            for (int k = 0; k < 4 && i + k < m; k++)                                                                  \
                for (int v = 0; v < V; v++) {                                                                         \
                    float *to = out + (i + k) * n + from + 16 * v;                                                    \
                    __mmask16 some = first(n - from - 16 * v);                                                        \
                    _mm512_mask_storeu_ps(to, some, _mm512_add_ps(_mm512_maskz_loadu_ps(some, to), s[k][v]));         \
                }                                                                                                     \
        }                                                                                                             \
    }
OUTER(4)
OUTER(2)
OUTER(1)

static void outer(const uint32_t *a, int64_t m, const uint32_t *b, int64_t n, int64_t pairs, float *out) {
    int64_t c = 0, columns = wide(n);
    for (; c + 64 <= columns; c += 64) outer4(a, m, b, n, c, pairs, out);
    for (; c + 32 <= columns; c += 32) outer2(a, m, b, n, c, pairs, out);
    for (; c < columns; c += 16) outer1(a, m, b, n, c, pairs, out);
}

/* -- forward -------------------------------------------------------------------------------------------------- */

/* x (BLOCK, across) <- the inputs' rows from `row` on, side by side, zero beyond them */
static void gather(const input *inputs, int64_t count, int64_t row, int64_t rows, bf16 *x, int64_t across) {
    memset(x, 0, sizeof(bf16) * BLOCK * across);
    for (int64_t k = 0, to = 0; k < count; to += inputs[k++].size)
        for (int64_t i = 0; i < rows; i++) {
            int64_t size = inputs[k].size, at = (row + i) / inputs[k].repeat * size;
            bf16 *out = x + i * across + to;
            if (!inputs[k].single) memcpy(out, (const bf16 *)inputs[k].rows + at, sizeof(bf16) * size);
            else
                for (int64_t j = 0; j < size; j += 16) {
                    __mmask16 some = first(size - j);
                    __m512 v = _mm512_maskz_loadu_ps(some, (const float *)inputs[k].rows + at + j);
                    _mm256_mask_storeu_epi16(out + j, some, rounded(v));
                }
        }
}

/* y <- tanh(gain * LayerNorm(sum) + shift); hat: the normalised sum, scale: 1 / deviation */
static void norm_tanh(const float *sum, const layer *l, int64_t rows, bf16 *y, bf16 *hat, float *scale) {
    int64_t n = l->outputs; /* a multiple of 16 */
    for (int64_t i = 0; i < rows; i++, sum += n, y += n, hat += n) {
        __m512 s = _mm512_setzero_ps(), q = s;
        for (int64_t j = 0; j < n; j += 16) s = _mm512_add_ps(s, _mm512_loadu_ps(sum + j));
        __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(s) / (float)n);
        for (int64_t j = 0; j < n; j += 16) {
            __m512 d = _mm512_sub_ps(_mm512_loadu_ps(sum + j), mean);
            q = _mm512_fmadd_ps(d, d, q);
        }
        scale[i] = 1.0f / sqrtf(_mm512_reduce_add_ps(q) / (float)n + 1e-5f);
        __m512 by = _mm512_set1_ps(scale[i]);
        for (int64_t j = 0; j < n; j += 16) {
            __m512 h = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(sum + j), mean), by);
            store(hat + j, h);
            __m512 v = _mm512_fmadd_ps(h, _mm512_loadu_ps(l->gain + j), _mm512_loadu_ps(l->shift + j));
            store(y + j, tangent(v));
        }
    }
}

/* Bytes a row needs in `saved`: the network's input, then head by head what each hidden layer made. */
int64_t smbrl_saved(const layer *layers, int64_t heads, int64_t depth) {
    int64_t bytes = sizeof(bf16) * wide(layers->inputs);
    for (int64_t d = 0; d < heads * depth; d++)
        if ((d + 1) % depth) {
            bytes += sizeof(bf16) * wide(layers[d].outputs);
            if (layers[d].kind == NORM_TANH) bytes += sizeof(bf16) * layers[d].outputs + sizeof(float);
        }
    return bytes;
}

/* out (heads, rows, outputs) of rows begin to end; saved: NULL or smbrl_saved bytes a row, for smbrl_backward */
void smbrl_forward(const layer *layers, int64_t heads, int64_t depth, const input *inputs, int64_t count, int64_t rows,
                   int64_t begin, int64_t end, float *out, char *saved) {
    bf16 x[BLOCK * WIDEST], buffer[2][BLOCK * WIDEST], hat[BLOCK * WIDEST];
    float sum[BLOCK * WIDEST], scale[BLOCK];
    int64_t across = wide(layers->inputs), outputs = layers[depth - 1].outputs;
    for (int64_t row = begin; row < end; row += BLOCK) {
        int64_t n = end - row < BLOCK ? end - row : BLOCK;
        char *keep = saved;
        gather(inputs, count, row, n, x, across);
        if (keep) {
            memcpy(keep + sizeof(bf16) * across * row, x, sizeof(bf16) * across * n);
            keep += sizeof(bf16) * across * rows;
        }
        for (int64_t h = 0; h < heads; h++) {
            const bf16 *from = x;
            int64_t width = across;
            for (int64_t d = 0; d < depth; d++) {
                const layer *l = layers + h * depth + d;
                int64_t columns = wide(l->outputs);
                bf16 *y = buffer[d & 1];
                float *to = out + (h * rows + row) * outputs;
                if (l->kind == SCALAR) {
                    for (int64_t i = 0; i < n; i++) {
                        __m512 s = _mm512_setzero_ps();
                        for (int64_t j = 0; j < l->inputs; j += 16)
                            s = _mm512_fmadd_ps(load(from + i * width + j), _mm512_loadu_ps(l->weight + j), s);
                        to[i] = _mm512_reduce_add_ps(s) + l->bias[0];
                    }
                    continue;
                }
                if (l->kind == ELU) {
                    product(from, width, n, l->inputs, l->forward, columns, l->padded, y, columns, 0, 0);
                } else {
                    product(from, width, n, l->inputs, l->forward, columns, l->padded, 0, 0, sum, columns);
                    if (l->kind == NORM_TANH) norm_tanh(sum, l, n, y, hat, scale);
                    else
                        for (int64_t i = 0; i < n; i++)
                            memcpy(to + i * outputs, sum + i * columns, sizeof(float) * outputs);
                }
                if (keep && d + 1 < depth) {
                    int64_t bytes = sizeof(bf16) * columns;
                    memcpy(keep + bytes * row, y, bytes * n);
                    keep += bytes * rows;
                    if (l->kind == NORM_TANH) {
                        memcpy(keep + bytes * row, hat, bytes * n);
                        keep += bytes * rows;
                        memcpy(keep + sizeof(float) * row, scale, sizeof(float) * n);
                        keep += sizeof(float) * rows;
                    }
                }
                from = y;
                width = columns;
            }
        }
    }
}

/* -- backward ------------------------------------------------------------------------------------------------- */

/* x (rows, across) -> pairs of rows */
static void pairs_of(const bf16 *x, int64_t rows, int64_t across, uint32_t *out) {
    for (int64_t i = 0; i < rows; i += 2)
        for (int64_t j = 0; j < across; j += 16, out += 16) {
            __m256i odd = _mm256_setzero_si256();
            if (i + 1 < rows) odd = _mm256_loadu_si256((const __m256i *)(x + (i + 1) * across + j));
            _mm512_storeu_si512(out, paired(_mm256_loadu_si256((const __m256i *)(x + i * across + j)), odd));
        }
}

/* grad of an ELU's output -> of its input */
static void elu_backward(bf16 *grad, const bf16 *y, int64_t count) {
    __m512 zero = _mm512_setzero_ps();
    for (int64_t j = 0; j < count; j += 16) {
        __m512 g = load(grad + j), v = load(y + j);
        store(grad + j, _mm512_mask_fmadd_ps(g, _mm512_cmp_ps_mask(v, zero, _CMP_LT_OQ), v, g));
    }
}

static void norm_tanh_backward(bf16 *grad, const bf16 *y, const bf16 *hat, const float *scale, const layer *l,
                               int64_t rows, float *dgain, float *dshift) {
    int64_t n = l->outputs;
    __m512 one = _mm512_set1_ps(1.0f);
    for (int64_t i = 0; i < rows; i++, grad += n, y += n, hat += n) {
        float inner[WIDEST];
        __m512 a = _mm512_setzero_ps(), c = a;
        for (int64_t j = 0; j < n; j += 16) {
            __m512 t = load(y + j), h = load(hat + j);
            __m512 d = _mm512_mul_ps(load(grad + j), _mm512_fnmadd_ps(t, t, one));
            _mm512_storeu_ps(dshift + j, _mm512_add_ps(_mm512_loadu_ps(dshift + j), d));
            _mm512_storeu_ps(dgain + j, _mm512_fmadd_ps(d, h, _mm512_loadu_ps(dgain + j)));
            d = _mm512_mul_ps(d, _mm512_loadu_ps(l->gain + j));
            _mm512_storeu_ps(inner + j, d);
            a = _mm512_add_ps(a, d);
            c = _mm512_fmadd_ps(d, h, c);
        }
        __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(a) / (float)n), by = _mm512_set1_ps(scale[i]);
        __m512 slope = _mm512_set1_ps(_mm512_reduce_add_ps(c) / (float)n);
        for (int64_t j = 0; j < n; j += 16) {
            __m512 v = _mm512_sub_ps(_mm512_sub_ps(_mm512_loadu_ps(inner + j), mean),
                                     _mm512_mul_ps(load(hat + j), slope));
            store(grad + j, _mm512_mul_ps(by, v));
        }
    }
}

/* sums (columns) += each column of x (rows, across) */
static void column_sums(const bf16 *x, int64_t rows, int64_t across, float *sums, int64_t columns) {
    for (int64_t j = 0; j < columns; j += 16) {
        __mmask16 some = first(columns - j);
        __m512 s = _mm512_maskz_loadu_ps(some, sums + j);
        for (int64_t i = 0; i < rows; i++) s = _mm512_add_ps(s, load(x + i * across + j));
        _mm512_mask_storeu_ps(sums + j, some, s);
    }
}

/* The inputs' gradients from rows of dx (rows, across): set, or added where an input's row serves several. */
static void scatter(const input *inputs, int64_t count, int64_t row, int64_t rows, const float *dx, int64_t across) {
    for (int64_t k = 0, from = 0; k < count; from += inputs[k++].size) {
        int64_t size = inputs[k].size, repeat = inputs[k].repeat;
        for (int64_t i = 0; inputs[k].grad && i < rows; i++) {
            float *to = inputs[k].grad + (row + i) / repeat * size;
            const float *some = dx + i * across + from;
            if (repeat == 1) memcpy(to, some, sizeof(float) * size);
            else for (int64_t j = 0; j < size; j++) to[j] += some[j];
        }
    }
}

/* From the gradient of out to that of the inputs (where wanted; zero before where rows serve several) and, where grads
   is not NULL, to that of the parameters, which are added to grads. Rows begin to end, as in smbrl_forward. */
void smbrl_backward(const layer *layers, int64_t heads, int64_t depth, const input *inputs, int64_t count,
                    int64_t rows, int64_t begin, int64_t end, const float *dout, const char *saved, float *grads) {
    bf16 grad[2][BACK * WIDEST];
    uint32_t a[BACK / 2 * WIDEST], b[BACK / 2 * WIDEST];
    float dx[BACK * WIDEST];
    const char *kept[LONGEST];
    int64_t across = wide(layers->inputs), outputs = layers[depth - 1].outputs, wanted = 0;
    for (int64_t k = 0; k < count; k++) wanted |= inputs[k].grad != 0;
    const char *at = saved + sizeof(bf16) * across * rows;
    for (int64_t d = 0; d < heads * depth; d++) {
        kept[d] = at;
        if (!((d + 1) % depth)) continue;
        at += sizeof(bf16) * wide(layers[d].outputs) * rows;
        if (layers[d].kind == NORM_TANH) at += (sizeof(bf16) * layers[d].outputs + sizeof(float)) * rows;
    }
    for (int64_t row = begin; row < end; row += BACK) {
        int64_t n = end - row < BACK ? end - row : BACK;
        if (wanted) memset(dx, 0, sizeof(float) * BACK * across);
        for (int64_t h = 0; h < heads; h++) {
            bf16 *g = grad[0], *next = grad[1];
            for (int64_t d = depth - 1; d >= 0; d--) {
                const layer *l = layers + h * depth + d;
                const char *own = kept[h * depth + d];
                int64_t columns = wide(l->outputs), width = wide(l->inputs);
                const bf16 *x = (const bf16 *)(d ? kept[h * depth + d - 1] : saved) + width * row;
                const float *from = dout + (h * rows + row) * outputs;
                if (l->kind == SCALAR) {
                    for (int64_t i = 0; i < n; i++) {
                        __m512 s = _mm512_set1_ps(from[i]);
                        if (grads) grads[l->dbias] += from[i];
                        for (int64_t j = 0; j < l->inputs; j += 16) {
                            store(next + i * width + j, _mm512_mul_ps(s, _mm512_loadu_ps(l->weight + j)));
                            if (!grads) continue;
                            float *to = grads + l->dweight + j;
                            _mm512_storeu_ps(to, _mm512_fmadd_ps(s, load(x + i * width + j), _mm512_loadu_ps(to)));
                        }
                    }
                } else {
                    if (l->kind == LINEAR) {
                        for (int64_t i = 0; i < n; i++)
                            for (int64_t j = 0; j < columns; j += 16)
                                store(g + i * columns + j,
                                      _mm512_maskz_loadu_ps(first(outputs - j), from + i * outputs + j));
                    } else if (l->kind == ELU) {
                        elu_backward(g, (const bf16 *)own + columns * row, n * columns);
                    } else {
                        float nowhere[2][WIDEST];
                        const bf16 *hat = (const bf16 *)own + columns * rows;
                        const float *scale = (const float *)(hat + columns * rows);
                        if (!grads) memset(nowhere, 0, sizeof nowhere);
                        norm_tanh_backward(g, (const bf16 *)own + columns * row, hat + columns * row, scale + row, l, n,
                                           grads ? grads + l->dgain : nowhere[0],
                                           grads ? grads + l->dshift : nowhere[1]);
                    }
                    if (grads) {
                        column_sums(g, n, columns, grads + l->dbias, l->outputs);
                        pairs_of(g, n, columns, a);
                        pairs_of(x, n, width, b);
                        if (l->transposed) outer(b, l->inputs, a, l->outputs, (n + 1) / 2, grads + l->dweight);
                        else outer(a, l->outputs, b, l->inputs, (n + 1) / 2, grads + l->dweight);
                    }
                    if (d) product(g, columns, n, l->outputs, l->backward, width, 0, next, width, 0, 0);
                    else if (wanted) product(g, columns, n, l->outputs, l->backward, width, 0, 0, 0, dx, width);
                }
                bf16 *swap = g;
                g = next;
                next = swap;
            }
        }
        if (wanted) scatter(inputs, count, row, n, dx, across);
    }
}
#endif
