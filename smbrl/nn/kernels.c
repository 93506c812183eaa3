/* The element-wise work between float32 matrix products, in one pass over memory each. NaN goes through. */
#include <stdint.h>
#include <string.h>
#include <math.h>

static inline float from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

/* not a constant, or compilers make a branch of the clamp and give up vector instructions */
float smbrl_lowest = -87.0f;
static inline float clamped(float x, float lowest) { return x < lowest ? lowest : x; }

/* e^x for -87 <= x <= 0, relative error about 1e-7 */
static inline float exp_negative(float x) {
    float n = x * 1.44269504f - 0.5f;
    int32_t k = (int32_t)n; /* towards zero, so that n - 0.5 rounds to nearest for negative x */
    float r = x - (float)k * 0.693359375f;
    r = r + (float)k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * from_bits((uint32_t)(k + 127) << 23);
}
/* no branches below, so that compilers use vector instructions */
static inline float elu(float x, float lowest) {
    float up = x > 0.0f ? x : 0.0f, down = clamped(x > 0.0f ? 0.0f : x, lowest);
    float small = down + 0.5f * down * down; /* e^x - 1 cancels near 0 */
    float big = exp_negative(down) - 1.0f;
    float far = down < -1e-3f ? 1.0f : 0.0f;
    return up + far * big + (1.0f - far) * small;
}
static inline float tanh_(float x, float lowest) {
    float t = exp_negative(clamped(-2.0f * fabsf(x), lowest));
    return copysignf((1.0f - t) / (1.0f + t), x);
}

/* x (groups, rows, columns) <- ELU(x + bias), bias (groups, columns) */
void smbrl_bias_elu(float *restrict x, const float *restrict bias, int64_t groups, int64_t rows, int64_t columns) {
    float lowest = smbrl_lowest;
    for (int64_t h = 0; h < groups; h++, bias += columns)
        for (int64_t i = 0; i < rows; i++, x += columns)
            for (int64_t j = 0; j < columns; j++) x[j] = elu(x[j] + bias[j], lowest);
}

/* out <- grad * ELU'(x) from y = ELU(x); bias (groups, columns) <- sum over rows of out */
void smbrl_elu_backward(const float *restrict grad, const float *restrict y, float *restrict out, float *restrict bias,
                      int64_t groups, int64_t rows, int64_t columns) {
    memset(bias, 0, sizeof(float) * groups * columns);
    for (int64_t h = 0; h < groups; h++, bias += columns)
        for (int64_t i = 0; i < rows; i++, grad += columns, y += columns, out += columns)
            for (int64_t j = 0; j < columns; j++) {
                float v = y[j], g = grad[j];
                g = v < 0.0f ? g * (v + 1.0f) : g;
                bias[j] += g;
                out[j] = g;
            }
}

/* x (rows, heads, width) -> out (heads, rows, width) = tanh(weight * LayerNorm(x) + bias); saves mean, 1 / std */
void smbrl_norm_tanh(const float *restrict x, const float *restrict weight, const float *restrict bias,
                   float *restrict out, float *restrict saved, int64_t rows, int64_t heads, int64_t width) {
    float lowest = smbrl_lowest;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t h = 0; h < heads; h++) {
            const float *restrict in = x + (i * heads + h) * width;
            const float *restrict w = weight + h * width, *restrict b = bias + h * width;
            float *restrict to = out + (h * rows + i) * width;
            float sum = 0.0f, square = 0.0f;
            for (int64_t j = 0; j < width; j++) sum += in[j];
            float mean = sum / (float)width;
            for (int64_t j = 0; j < width; j++) { float d = in[j] - mean; square += d * d; }
            float scale = 1.0f / sqrtf(square / (float)width + 1e-5f);
            for (int64_t j = 0; j < width; j++)
                to[j] = tanh_((in[j] - mean) * scale * w[j] + b[j], lowest);
            saved[2 * (i * heads + h)] = mean;
            saved[2 * (i * heads + h) + 1] = scale;
        }
}

/* grad, y (heads, rows, width), x (rows, heads, width) -> out like x, gradients of weight and bias */
void smbrl_norm_tanh_backward(const float *restrict grad, const float *restrict y, const float *restrict x,
                            const float *restrict weight, const float *restrict saved, float *restrict out,
                            float *restrict dweight, float *restrict dbias, int64_t rows, int64_t heads,
                            int64_t width) {
    memset(dweight, 0, sizeof(float) * heads * width);
    memset(dbias, 0, sizeof(float) * heads * width);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < rows; i++) {
            const float *restrict g = grad + (h * rows + i) * width, *restrict v = y + (h * rows + i) * width;
            const float *restrict in = x + (i * heads + h) * width;
            float *restrict to = out + (i * heads + h) * width;
            const float *restrict w = weight + h * width;
            float *restrict dw = dweight + h * width, *restrict db = dbias + h * width;
            float mean = saved[2 * (i * heads + h)], scale = saved[2 * (i * heads + h) + 1];
            float a = 0.0f, c = 0.0f;
            for (int64_t j = 0; j < width; j++) {
                float t = v[j], d = g[j] * (1.0f - t * t);
                float hat = (in[j] - mean) * scale;
                db[j] += d;
                dw[j] += d * hat;
                a += d * w[j];
                c += d * w[j] * hat;
            }
            a /= (float)width;
            c /= (float)width;
            for (int64_t j = 0; j < width; j++) {
                float t = v[j], d = g[j] * (1.0f - t * t);
                float hat = (in[j] - mean) * scale;
                to[j] = scale * (d * w[j] - a - hat * c);
            }
        }
}

static inline float sigmoid(float x, float lowest) {
    float t = exp_negative(clamped(-fabsf(x), lowest)), up = x > 0.0f ? 1.0f : t;
    return up / (1.0f + t);
}
static inline float from_float(float x) { return x; }
static inline float to_float(float x) { return x; }
static inline float from_half(uint16_t x) { return from_bits((uint32_t)x << 16); }
static inline uint16_t to_half(float x) { /* to nearest, ties to even */
    uint32_t u;
    memcpy(&u, &x, 4);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    return (uint16_t)(x == x ? rounded : (u >> 16) | 0x40);
}

/* One step of a GRU from its products: x, h (rows, 3 size) hold reset, update and candidate of input and of state;
   out = n + u (state - n), n = tanh(x_n + r h_n). Backwards, gates are computed again: cheaper than keeping them. */
#define GRU(T, NAME, LOAD, STORE)                                                                                     \
    void NAME(const T *restrict x, const T *restrict h, const float *restrict state, float *restrict out,             \
              int64_t rows, int64_t size) {                                                                           \
        float lowest = smbrl_lowest;                                                                                  \
        for (int64_t i = 0; i < rows; i++, x += 3 * size, h += 3 * size, state += size, out += size)                  \
            for (int64_t j = 0; j < size; j++) {                                                                      \
                float r = sigmoid(LOAD(x[j]) + LOAD(h[j]), lowest);                                                   \
                float u = sigmoid(LOAD(x[size + j]) + LOAD(h[size + j]), lowest);                                     \
                float n = tanh_(LOAD(x[2 * size + j]) + r * LOAD(h[2 * size + j]), lowest);                           \
                out[j] = n + u * (state[j] - n);                                                                      \
            }                                                                                                         \
    }                                                                                                                 \
    void NAME##_backward(const float *restrict grad, const T *restrict x, const T *restrict h,                        \
                         const float *restrict state, T *restrict dx, T *restrict dh, float *restrict dstate,         \
                         int64_t rows, int64_t size) {                                                                \
        float lowest = smbrl_lowest;                                                                                  \
        for (int64_t i = 0; i < rows; i++, x += 3 * size, h += 3 * size, dx += 3 * size, dh += 3 * size,              \
                     grad += size, state += size, dstate += size)                                                     \
            for (int64_t j = 0; j < size; j++) {                                                                      \
                float g = grad[j], own = LOAD(h[2 * size + j]);                                                       \
                float r = sigmoid(LOAD(x[j]) + LOAD(h[j]), lowest);                                                   \
                float u = sigmoid(LOAD(x[size + j]) + LOAD(h[size + j]), lowest);                                     \
                float n = tanh_(LOAD(x[2 * size + j]) + r * own, lowest);                                             \
                float dn = g * (1.0f - u) * (1.0f - n * n), du = g * (state[j] - n) * u * (1.0f - u);                 \
                float dr = dn * own * r * (1.0f - r);                                                                 \
                dstate[j] = g * u;                                                                                    \
                dx[j] = dh[j] = STORE(dr);                                                                            \
                dx[size + j] = dh[size + j] = STORE(du);                                                              \
                dx[2 * size + j] = STORE(dn);                                                                         \
                dh[2 * size + j] = STORE(dn * r);                                                                     \
            }                                                                                                         \
    }
GRU(float, smbrl_gru, to_float, from_float)
GRU(uint16_t, smbrl_gru_half, from_half, to_half)
