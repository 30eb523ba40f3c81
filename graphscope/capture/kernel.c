/* Dense numbers in memory -> moments, extremes, counts and a log2 histogram, in one pass at the speed of memory.
 *
 * A plain C ABI without Python or torch in it: graphscope/capture/native.py calls it through ctypes, without the GIL.
 * Never compile it with -ffast-math: NaN and Inf are counted here. GCC or Clang, any processor; on x86-64 the same code
 * is compiled a second time for AVX2, which is chosen when the library is loaded.
 *
 * The numbers come in blocks that stay in the L1 cache. Of a block are taken, one after the other:
 *   sums of d = x - shift and of d * d, extremes and zeros, in one loop over 16 lanes that a compiler vectorises,
 *   the histogram of an eighth of it (of every number in small tensors),
 * and blocks are put together in double (Chan, Golub, LeVeque 1979). The lanes are float, so each block is checked: one
 * with NaN or Inf, with squares beyond float, or with a mean that dwarfs its spread is read again, in double.
 * What is read next is prefetched throughout, so that the memory never waits for the arithmetic.
 */
#include <stdint.h>
#include <string.h>

#define VERSION 1             /* native.py asks for it: a library that was left behind by an older build is not used */
#define BLOCK 2048            /* numbers: 8 KiB of float, a quarter of an L1 cache */
#define LANES 16
#define AHEAD 2048            /* bytes: how far ahead of the lanes memory is fetched */
#define SPAN 512              /* numbers: of each span, a sampled histogram reads one run, at a place that a hash chooses */
#define SHARE 8               /* ... an eighth of it, and more where that is less than EXACT_HISTOGRAM in all */
#define EXACT_HISTOGRAM 16384 /* numbers up to which the histogram counts every one: HISTOGRAM_EXACT_BELOW */
#define EXACT_SUMS 65536      /* numbers up to which sums are taken in double: EXACT_BELOW */
#define BINS 128              /* schema.HISTOGRAM_BINS */
#define HALF (BINS / 2)
#define MIN_EXPONENT (-40)    /* schema.HISTOGRAM_MIN_EXPONENT */
#define FIELDS 10             /* mean std min max absmax l2 zeros nan pos_inf neg_inf: summary.FIELDS */
#define TABLES 8
#define TABLE 528 /* 512 and 64 bytes more: tables 4 KiB apart would look like one to the store buffer */
#define MANY 1024 /* numbers from which on eight tables pay */
#define RUN 64    /* numbers that a sample of positions takes side by side: histogram.SAMPLE_RUN */

enum { FLOAT32, FLOAT64, BFLOAT16, FLOAT16 }; /* native.CODES */

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline)) /* so that each variant compiles it for its processor */
#define NAN_VALUE __builtin_nan("")

typedef float float4 __attribute__((vector_size(16), aligned(1), may_alias));
typedef double double4 __attribute__((vector_size(32)));

typedef struct {
    double n, mean, m2; /* of the finite numbers; m2 is the sum of squared distances from the mean */
    double low, high;
    int64_t zeros, nan, pos_inf, neg_inf;
} Moments;

typedef struct {
    double n, sum, squares; /* of d = x - shift */
    double low, high;
    int64_t zeros;
} Sums;

static const int64_t item_size[] = {4, 8, 2, 2};

INLINE uint32_t bits_of(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
INLINE uint64_t bits_of_double(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
INLINE float float_of(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
INLINE double double_of(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
INLINE int is_finite(double x) { return (bits_of_double(x) >> 52 & 0x7ff) != 0x7ff; }

/* One half float -> float. float16 goes without subnormal floats, which a user may have switched off
 * (torch.set_flush_denormal): a subnormal half is made from an exponent one too high, then that is subtracted. */
INLINE float widened(const char *half, int dtype) {
    uint16_t h;
    memcpy(&h, half, 2);
    if (dtype == BFLOAT16) return float_of((uint32_t)h << 16);
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    uint32_t normal = magnitude + ((127u - 15u) << 23);
    uint32_t special = magnitude + ((255u - 31u) << 23);
    uint32_t small = bits_of(float_of(magnitude + (113u << 23)) - float_of(113u << 23));
    uint32_t u = magnitude >= 0x0f800000u ? special : magnitude < 0x00800000u ? small : normal;
    return float_of(u | (uint32_t)(h & 0x8000) << 16);
}

/* n of them, while what comes later is fetched. */
INLINE void widen(const char *restrict half, int dtype, int n, float *restrict out) {
    int whole = n - n % 32;
    for (int i = 0; i < whole; i += 32) {
        __builtin_prefetch(half + 2 * i + AHEAD);
        for (int j = 0; j < 32; j++) out[i + j] = widened(half + 2 * (i + j), dtype);
    }
    for (int i = whole; i < n; i++) out[i] = widened(half + 2 * i, dtype);
}

/* ---- Sums of one block ------------------------------------------------------------------------------------------- */

/* In lanes of its own type. `ahead` is what to fetch meanwhile, `step` bytes of it a number. Zeros are told by their
 * bits: with subnormals flushed (torch.set_flush_denormal) a comparison would count those too. */
#define SUMS_IN_LANES(NAME, TYPE, BITS)                                                     \
    INLINE Sums NAME(const TYPE *restrict x, int n, TYPE shift, const char *ahead, int step) { \
        TYPE sum[LANES], squares[LANES], low[LANES], high[LANES];                           \
        BITS zeros[LANES];                                                                  \
        for (int j = 0; j < LANES; j++) {                                                   \
            sum[j] = squares[j] = 0;                                                        \
            zeros[j] = 0;                                                                   \
            low[j] = high[j] = x[0];                                                        \
        }                                                                                   \
        int whole = n - n % LANES;                                                          \
        for (int i = 0; i < whole; i += LANES) {                                            \
            __builtin_prefetch(ahead + (int64_t)i * step);                                  \
            for (int j = 0; j < LANES; j++) {                                               \
                TYPE v = x[i + j], d = v - shift;                                           \
                BITS u;                                                                     \
                memcpy(&u, x + i + j, sizeof u);                                            \
                sum[j] += d;                                                                \
                squares[j] += d * d;                                                        \
                low[j] = v < low[j] ? v : low[j];                                           \
                high[j] = v > high[j] ? v : high[j];                                        \
                zeros[j] += (u & ~(BITS)0 >> 1) == 0;                                       \
            }                                                                               \
        }                                                                                   \
        Sums s = {n, 0, 0, low[0], high[0], 0};                                             \
        for (int j = 0; j < LANES; j++) {                                                   \
            s.sum += sum[j];                                                                \
            s.squares += squares[j];                                                        \
            s.low = low[j] < s.low ? low[j] : s.low;                                        \
            s.high = high[j] > s.high ? high[j] : s.high;                                   \
            s.zeros += (int64_t)zeros[j];                                                   \
        }                                                                                   \
        for (int i = whole; i < n; i++) {                                                   \
            double d = (double)x[i] - shift;                                                \
            BITS u;                                                                         \
            memcpy(&u, x + i, sizeof u);                                                    \
            s.sum += d;                                                                     \
            s.squares += d * d;                                                             \
            s.low = x[i] < s.low ? x[i] : s.low;                                            \
            s.high = x[i] > s.high ? x[i] : s.high;                                         \
            s.zeros += (u & ~(BITS)0 >> 1) == 0;                                            \
        }                                                                                   \
        return s;                                                                           \
    }
SUMS_IN_LANES(sums_of_floats, float, uint32_t)
SUMS_IN_LANES(sums_of_doubles, double, uint64_t)

/* sum and squares of floats again, in double. */
INLINE void sums_in_double(const float *x, int n, double shift, Sums *s) {
    double4 sum[4] = {{0}}, squares[4] = {{0}}, about = {shift, shift, shift, shift};
    int whole = n - n % 16;
    for (int i = 0; i < whole; i += 16) {
        __builtin_prefetch(x + i + BLOCK);
        for (int j = 0; j < 4; j++) {
            double4 d = __builtin_convertvector(*(const float4 *)(x + i + 4 * j), double4) - about;
            sum[j] += d;
            squares[j] += d * d;
        }
    }
    double4 a = (sum[0] + sum[1]) + (sum[2] + sum[3]), q = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    s->n = n;
    s->sum = (a[0] + a[1]) + (a[2] + a[3]);
    s->squares = (q[0] + q[1]) + (q[2] + q[3]);
    for (int i = whole; i < n; i++) {
        double d = (double)x[i] - shift;
        s->sum += d;
        s->squares += d * d;
    }
}

/* Counts NaN and Inf, and moves the finite numbers to `out`; returns how many they are. */
#define FINITE_ONLY(NAME, TYPE)                                              \
    INLINE int NAME(const TYPE *x, int n, TYPE *out, Moments *m) {           \
        int kept = 0;                                                        \
        for (int i = 0; i < n; i++) {                                        \
            double v = x[i];                                                 \
            int finite = is_finite(v);                                       \
            uint64_t u = bits_of_double(v);                                  \
            out[kept] = x[i];                                                \
            kept += finite;                                                  \
            m->nan += !finite & ((u << 12) != 0);                            \
            m->pos_inf += u == 0x7ff0000000000000u;                          \
            m->neg_inf += u == 0xfff0000000000000u;                          \
        }                                                                    \
        return kept;                                                         \
    }
FINITE_ONLY(finite_floats, float)
FINITE_ONLY(finite_doubles, double)

/* ---- Blocks -> moments ------------------------------------------------------------------------------------------- */

INLINE double m2_of(const Sums *s) {
    double m2 = s->squares - s->sum * s->sum / s->n;
    return m2 < 0 ? 0 : m2; /* NaN stays */
}

INLINE void merge(double *n, double *mean, double *m2, const Sums *s, double shift) {
    double block_mean = shift + s->sum / s->n, apart = block_mean - *mean, total = *n + s->n;
    *m2 += m2_of(s) + (*n ? apart * apart * (*n * s->n / total) : 0);
    *mean = *n == 0 ? block_mean : is_finite(apart) ? *mean + apart * (s->n / total) : *mean * (*n / total) + block_mean * (s->n / total);
    *n = total;
}

INLINE void add(Moments *m, const Sums *s, double shift) {
    merge(&m->n, &m->mean, &m->m2, s, shift);
    m->low = s->low < m->low ? s->low : m->low;
    m->high = s->high > m->high ? s->high : m->high;
    m->zeros += s->zeros;
}

/* One block of floats, in float lanes; 0 if they are not good enough for it. */
INLINE int add_floats(Moments *m, const float *x, int n, const char *ahead, int step) {
    float shift = m->n ? (float)m->mean : is_finite(x[0]) ? x[0] : 0;
    Sums s = sums_of_floats(x, n, shift, ahead, step);
    if (s.low == s.high && is_finite(s.sum)) { /* constant, most often zero */
        s.sum = s.squares = 0;
        shift = (float)s.low;
    } else if (!(is_finite(s.squares) && s.squares > 0x1p-80 && m2_of(&s) > s.squares / 8)) {
        return 0;
    }
    add(m, &s, shift);
    return 1;
}

/* The same exactly. With one of its own numbers as shift, a block loses at most the digits of n. */
INLINE void add_floats_exactly(Moments *m, const float *x, int n) {
    float finite[BLOCK];
    for (;;) {
        Sums s = sums_of_floats(x, n, x[0], (const char *)(x + BLOCK), 4);
        sums_in_double(x, n, x[0], &s);
        if (is_finite(s.squares)) { /* squares of floats are no doubles too large: otherwise something is NaN or Inf */
            add(m, &s, x[0]);
            return;
        }
        n = finite_floats(x, n, finite, m);
        if (!n) return;
        x = finite;
    }
}

INLINE void add_doubles(Moments *m, const double *x, int n) {
    double finite[BLOCK];
    for (;;) {
        Sums s = sums_of_doubles(x, n, x[0], (const char *)(x + BLOCK), 8);
        if (is_finite(s.squares) || x == finite) { /* beyond 1e154 it stays so: see rescaled */
            add(m, &s, x[0]);
            return;
        }
        n = finite_doubles(x, n, finite, m);
        if (!n) return;
        x = finite;
    }
}

/* float64 whose squares leave the range of double: mean and m2 of x * 2**-e, with e the exponent of the largest. */
static double rescaled(const char *data, int64_t count, Moments *m) {
    double absmax = m->high > -m->low ? m->high : -m->low, part[BLOCK];
    int exponent = (int)(bits_of_double(absmax) >> 52 & 0x7ff) - 1023;
    exponent = exponent < -1000 ? -1000 : exponent > 1000 ? 1000 : exponent;
    double scale = double_of((uint64_t)(1023 - exponent) << 52);
    Moments again = {0};
    for (int64_t at = 0; at < count; at += BLOCK) {
        int n = (int)(count - at < BLOCK ? count - at : BLOCK), kept = 0;
        for (int i = 0; i < n; i++) {
            double v;
            memcpy(&v, data + 8 * (at + i), 8);
            part[kept] = v * scale;
            kept += is_finite(v);
        }
        if (kept) add_doubles(&again, part, kept);
    }
    m->mean = again.mean;
    m->m2 = again.m2;
    return scale;
}

/* ---- Histogram --------------------------------------------------------------------------------------------------- */

/* Exponent of a number -> its bin; the sign says on which side. */
INLINE int bin_of(int negative, int exponent) {
    int place = exponent < MIN_EXPONENT ? 0 : exponent >= MIN_EXPONENT + HALF ? HALF - 1 : exponent - MIN_EXPONENT;
    return negative ? HALF - 1 - place : HALF + place;
}

typedef struct { int first, n; } Run;

/* Which numbers of a block's span are read. At a fixed place they would always be of the same channels. */
INLINE Run run_of(int span, int block_size, int64_t block_at, double share) {
    int length = block_size - span < SPAN ? block_size - span : SPAN;
    int n = (int)(length * share + 0.999999);
    n = n < length ? n : length;
    uint32_t hash = (uint32_t)((block_at + span) / SPAN + 1) * 2654435761u;
    return (Run){span + (int)((uint64_t)hash * (uint32_t)(length - n + 1) >> 32), n};
}

/* Sign and exponent bits are the log2 already. One table would wait for its own stores when neighbours fall into one
 * bin (store forwarding), so eight take turns. Meanwhile memory is fetched `ahead`, two bytes for each that is read. */
INLINE void scatter(const float *x, int n, int mask, uint32_t (*table)[TABLE], int64_t *subnormal, const char *ahead, int step) {
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t pair[4];
        memcpy(pair, x + i, 32);
        __builtin_prefetch(ahead + 2 * (int64_t)i * step);
        for (int j = 0; j < 4; j++) {
            table[2 * j & mask][(uint32_t)pair[j] >> 23]++;
            table[(2 * j + 1) & mask][pair[j] >> 55]++;
        }
    }
    for (; i < n; i++) table[0][bits_of(x[i]) >> 23]++;
    uint32_t positive = 0, negative = 0; /* zeros share their exponent with subnormals, which have a bin */
    for (i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, 4);
        positive += u - 1 < 0x7fffffu;
        negative += u - 0x80000001u < 0x7fffffu;
    }
    subnormal[0] += positive;
    subnormal[1] += negative;
}

INLINE void scatter_doubles(const double *x, int n, double *histogram) {
    for (int i = 0; i < n; i++) {
        uint64_t u = bits_of_double(x[i]);
        int biased = (int)(u >> 52 & 0x7ff);
        if (biased != 0x7ff && u << 1) histogram[bin_of((int)(u >> 63), biased - 1023)]++;
    }
}

static void fold(uint32_t (*table)[TABLE], int tables, const int64_t *subnormal, double *histogram) {
    for (int t = 1; t < tables; t++)
        for (int u = 0; u < 512; u++) table[0][u] += table[t][u];
    for (int from = 0; from < 512; from += 16) { /* nearly all are empty */
        uint32_t any = 0;
        for (int u = from; u < from + 16; u++) any |= table[0][u];
        for (int u = from; any && u < from + 16; u++) {
            int exponent = u & 255;
            if (exponent != 0 && exponent != 255) histogram[bin_of(u >> 8, exponent - 127)] += table[0][u];
        }
    }
    histogram[bin_of(0, -127)] += (double)subnormal[0];
    histogram[bin_of(1, -127)] += (double)subnormal[1];
}

/* ---- One tensor -------------------------------------------------------------------------------------------------- */

INLINE void statistics(const char *data, int64_t count, int dtype, double *values, double *histogram) {
    Moments m = {0, 0, 0, __builtin_inf(), -__builtin_inf(), 0, 0, 0, 0};
    uint32_t table[TABLES][TABLE];
    int64_t subnormal[2] = {0, 0};
    int sampled = count > EXACT_HISTOGRAM, tables = count < MANY ? 1 : TABLES, size = (int)item_size[dtype];
    double share = sampled ? (double)EXACT_HISTOGRAM / (double)count : 1;
    share = share < 1.0 / SHARE ? 1.0 / SHARE : share;
    union { float floats[BLOCK]; double doubles[BLOCK]; } block;
    if (histogram) {
        memset(histogram, 0, BINS * sizeof(double));
        if (dtype != FLOAT64) memset(table, 0, tables * sizeof *table);
    }
    for (int64_t at = 0; at < count; at += BLOCK) {
        int n = (int)(count - at < BLOCK ? count - at : BLOCK);
        const char *here = data + at * size, *next = here + (int64_t)n * size;
        if (dtype == FLOAT64) {
            const double *x = (const double *)here;
            if ((uintptr_t)here % sizeof(double)) x = memcpy(block.doubles, here, sizeof(double) * n);
            add_doubles(&m, x, n);
            for (int span = 0; histogram && span < n; span += SPAN) {
                Run run = run_of(span, n, at, share);
                scatter_doubles(x + run.first, run.n, histogram);
            }
            continue;
        }
        const float *x = (const float *)here;
        if (dtype != FLOAT32) {
            if (dtype == BFLOAT16) widen(here, BFLOAT16, n, block.floats);
            else widen(here, FLOAT16, n, block.floats);
            x = block.floats;
        } else if ((uintptr_t)here % sizeof(float)) {
            x = memcpy(block.floats, here, sizeof(float) * n);
        }
        if (count <= EXACT_SUMS || !add_floats(&m, x, n, here + AHEAD * size / 4, size)) add_floats_exactly(&m, x, n);
        for (int span = 0; histogram && span < n; span += SPAN) {
            Run run = run_of(span, n, at, share);
            scatter(x + run.first, run.n, tables - 1, table, subnormal, next + 2 * span / SHARE * size, size);
        }
    }
    double scale = 1;
    double absmax = m.n == 0 ? NAN_VALUE : m.high > -m.low ? m.high : -m.low;
    if (dtype == FLOAT64 && (absmax > 1e150 || (absmax < 1e-140 && absmax > 0))) scale = rescaled(data, count, &m);
    double variance = m.m2 / m.n;
    values[0] = m.n ? m.mean / scale : NAN_VALUE;
    values[1] = m.n ? __builtin_sqrt(variance) / scale : NAN_VALUE;
    values[2] = m.n ? m.low : NAN_VALUE;
    values[3] = m.n ? m.high : NAN_VALUE;
    values[4] = absmax;
    values[5] = m.n ? __builtin_sqrt(m.m2 + m.n * m.mean * m.mean) / scale : NAN_VALUE;
    values[6] = (double)m.zeros;
    values[7] = (double)m.nan;
    values[8] = (double)m.pos_inf;
    values[9] = (double)m.neg_inf;
    if (!histogram) return;
    if (dtype != FLOAT64) fold(table, tables, subnormal, histogram);
    if (!sampled) return;
    double seen = 0; /* of a sample: scaled to the number of those that have a bin, which is known exactly */
    for (int bin = 0; bin < BINS; bin++) seen += histogram[bin];
    double factor = seen ? (m.n - (double)m.zeros) / seen : 0;
    for (int bin = 0; bin < BINS; bin++) histogram[bin] = (double)(int64_t)(histogram[bin] * factor + 0.5);
}

/* ---- Per channel ------------------------------------------------------------------------------------------------- */

INLINE const float *floats_at(const char *data, int64_t at, int n, int dtype, float *buffer) {
    if (dtype == FLOAT32) memcpy(buffer, data + 4 * at, sizeof(float) * n);
    else if (dtype == BFLOAT16) widen(data + 2 * at, BFLOAT16, n, buffer);
    else widen(data + 2 * at, FLOAT16, n, buffer);
    return buffer;
}

/* [outer, channels, inner] -> mean [channels], biased variance [channels]. NaN and Inf are not left out: the layer
 * does not leave them out either. */
INLINE void channels_of(const char *data, int dtype, int64_t outer, int64_t channels, int64_t inner, double *mean, double *variance) {
    float buffer[BLOCK];
    int aligned = dtype == FLOAT32 && (uintptr_t)data % sizeof(float) == 0;
    if (inner == 1) { /* channels lie beside each other: their sums about the first row, rows one after the other */
        for (int64_t c = 0; c < channels; c += BLOCK) {
            int n = (int)(channels - c < BLOCK ? channels - c : BLOCK);
            float first[BLOCK];
            memcpy(first, floats_at(data, c, n, dtype, buffer), sizeof(float) * n);
            for (int i = 0; i < n; i++) mean[c + i] = variance[c + i] = 0;
            for (int64_t row = 0; row < outer; row++) {
                int64_t at = row * channels + c;
                const float *x = aligned ? (const float *)data + at : floats_at(data, at, n, dtype, buffer);
                for (int i = 0; i < n; i++) {
                    double d = (double)x[i] - first[i];
                    mean[c + i] += d;
                    variance[c + i] += d * d;
                }
            }
            for (int i = 0; i < n; i++) {
                Sums s = {(double)outer, mean[c + i], variance[c + i], 0, 0, 0};
                mean[c + i] = first[i] + s.sum / s.n;
                variance[c + i] = m2_of(&s) / s.n;
            }
        }
        return;
    }
    for (int64_t c = 0; c < channels; c++) mean[c] = variance[c] = 0;
    for (int64_t row = 0; row < outer; row++)
        for (int64_t c = 0; c < channels; c++) {
            double counted = (double)row * inner;
            for (int64_t in = 0; in < inner; in += BLOCK) {
                int n = (int)(inner - in < BLOCK ? inner - in : BLOCK);
                int64_t at = (row * channels + c) * inner + in;
                const float *x = aligned ? (const float *)data + at : floats_at(data, at, n, dtype, buffer);
                Sums s;
                double shift = is_finite(x[0]) ? x[0] : 0;
                sums_in_double(x, n, shift, &s);
                merge(&counted, &mean[c], &variance[c], &s, shift);
            }
        }
    for (int64_t c = 0; c < channels; c++) variance[c] /= (double)outer * inner;
}

/* ---- Samples at fixed positions: what is compared from one moment to another ------------------------------------- */

/* Of `count` numbers: all where they are no more than the runs hold, else `runs` of RUN at golden-ratio offsets, as
 * histogram.sample_index takes them. */
static int64_t taken(int64_t count, int64_t runs) { return count <= runs * RUN ? count : runs * RUN; }

static int64_t start_of(int64_t run, int64_t count) {
    double at = (double)run * 0.6180339887498949;
    return (int64_t)((at - (double)(int64_t)at) * (double)(count - RUN));
}

/* One part of a sample: where it lies in the tensor, and how long it is. */
static Run part_of(int64_t part, int64_t count, int64_t runs, int64_t *first) {
    int64_t left = count - part * RUN;
    int whole = count <= runs * RUN;
    *first = whole ? part * RUN : start_of(part, count);
    return (Run){0, whole && left < RUN ? (int)left : RUN};
}

static void take(const char *data, int64_t count, int dtype, int64_t runs, char *out) {
    int64_t size = item_size[dtype], n = taken(count, runs), first;
    if (n == count) {
        memcpy(out, data, n * size);
        return;
    }
    for (int64_t part = 0; part * RUN < n; part++) {
        Run run = part_of(part, count, runs, &first);
        memcpy(out + part * RUN * size, data + first * size, run.n * size);
    }
}

/* What the sample holds now minus what it held: [taken] of float, of double for float64. */
static void difference(const char *data, int64_t count, int dtype, int64_t runs, const char *base, char *out) {
    int64_t size = item_size[dtype], n = taken(count, runs), first;
    for (int64_t part = 0; part * RUN < n; part++) {
        Run run = part_of(part, count, runs, &first);
        const char *now = data + first * size, *before = base + part * RUN * size;
        if (dtype == FLOAT64) {
            double a[RUN], b[RUN];
            memcpy(a, now, run.n * size);
            memcpy(b, before, run.n * size);
            for (int i = 0; i < run.n; i++) a[i] -= b[i];
            memcpy(out + part * RUN * 8, a, run.n * 8);
            continue;
        }
        float a[RUN], b[RUN];
        if (dtype == FLOAT32) {
            memcpy(a, now, run.n * size);
            memcpy(b, before, run.n * size);
        } else {
            for (int i = 0; i < run.n; i++) a[i] = widened(now + 2 * i, dtype);
            for (int i = 0; i < run.n; i++) b[i] = widened(before + 2 * i, dtype);
        }
        for (int i = 0; i < run.n; i++) a[i] -= b[i];
        memcpy(out + part * RUN * 4, a, run.n * 4);
    }
}

/* Cosine of the angle between the sample now and `kept`, which then holds the one of now; NaN where one of them is zero
 * or not finite. */
static double cosine(const char *data, int64_t count, int dtype, int64_t runs, float *kept) {
    int64_t size = item_size[dtype], n = taken(count, runs), first;
    double dot = 0, before = 0, after = 0;
    for (int64_t part = 0; part * RUN < n; part++) {
        Run run = part_of(part, count, runs, &first);
        const char *now = data + first * size;
        float *old = kept + part * RUN;
        for (int i = 0; i < run.n; i++) {
            float value;
            if (dtype == FLOAT32) memcpy(&value, now + 4 * i, 4);
            else if (dtype == FLOAT64) { double wide_value; memcpy(&wide_value, now + 8 * i, 8); value = (float)wide_value; }
            else value = widened(now + 2 * i, dtype);
            dot += (double)value * old[i];
            before += (double)old[i] * old[i];
            after += (double)value * value;
            old[i] = value;
        }
    }
    double norms = __builtin_sqrt(before) * __builtin_sqrt(after), share = dot / norms;
    if (!(norms > 0) || !is_finite(norms) || !is_finite(dot)) return NAN_VALUE;
    return share > 1 ? 1 : share < -1 ? -1 : share;
}

/* ---- The ABI, and which variant serves it ------------------------------------------------------------------------ */

#define VARIANT(NAME, TARGET)                                                                                       \
    TARGET static void statistics_##NAME(const char *x, int64_t n, int dtype, double *values, double *histogram) {  \
        statistics(x, n, dtype, values, histogram);                                                                 \
    }                                                                                                               \
    TARGET static void channels_##NAME(const char *x, int dtype, int64_t outer, int64_t channels, int64_t inner,    \
                                       double *mean, double *variance) {                                            \
        channels_of(x, dtype, outer, channels, inner, mean, variance);                                              \
    }
VARIANT(baseline, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2,fma"))))
#endif

static int wide; /* whether the AVX2 variant serves; written when the library is loaded and by tests */

EXPORT int graphscope_version(void) { return VERSION; }

/* Chooses the variant: 0 the baseline, 1 the best that this processor has. Returns the one in use. */
EXPORT int graphscope_variant(int best) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    wide = best && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    (void)best;
#endif
    return wide;
}

__attribute__((constructor)) static void choose(void) { graphscope_variant(1); }

/* count > 0 numbers -> values [FIELDS], histogram [BINS] unless it is NULL. */
EXPORT void graphscope_statistics(const char *data, int64_t count, int32_t dtype, double *values, double *histogram) {
#if defined(__x86_64__)
    if (wide) {
        statistics_avx2(data, count, dtype, values, histogram);
        return;
    }
#endif
    statistics_baseline(data, count, dtype, values, histogram);
}

/* The same of n tensors: data [n], counts [n], dtypes [n] -> values [n, FIELDS], histograms [n, BINS] or NULL. */
EXPORT void graphscope_statistics_of_many(int64_t n, const char *const *data, const int64_t *counts,
                                          const int32_t *dtypes, double *values, double *histograms) {
    for (int64_t i = 0; i < n; i++)
        graphscope_statistics(data[i], counts[i], dtypes[i], values + i * FIELDS, histograms ? histograms + i * BINS : 0);
}

/* data [outer, channels, inner] of 4 or 2 byte floats -> mean [channels], biased variance [channels]. */
EXPORT void graphscope_channel_moments(const char *data, int32_t dtype, int64_t outer, int64_t channels, int64_t inner,
                                       double *mean, double *variance) {
#if defined(__x86_64__)
    if (wide) {
        channels_avx2(data, dtype, outer, channels, inner, mean, variance);
        return;
    }
#endif
    channels_baseline(data, dtype, outer, channels, inner, mean, variance);
}

/* Samples of n tensors, as they are in memory: out[i] has room for `runs` * 64 numbers. */
EXPORT void graphscope_samples(int64_t n, const char *const *data, const int64_t *counts, const int32_t *dtypes,
                               int64_t runs, char *const *out) {
    for (int64_t i = 0; i < n; i++) take(data[i], counts[i], dtypes[i], runs, out[i]);
}

/* What became of them: statistics [n, FIELDS] of now minus bases[i]; `scratch` has room for `runs` * 64 doubles. */
EXPORT void graphscope_changes(int64_t n, const char *const *data, const int64_t *counts, const int32_t *dtypes,
                               int64_t runs, const char *const *bases, char *scratch, double *values) {
    for (int64_t i = 0; i < n; i++) {
        difference(data[i], counts[i], dtypes[i], runs, bases[i], scratch);
        int32_t dtype = dtypes[i] == FLOAT64 ? FLOAT64 : FLOAT32;
        graphscope_statistics(scratch, taken(counts[i], runs), dtype, values + i * FIELDS, 0);
    }
}

/* Cosines [n] between each tensor's sample and kept[i] (`runs` * 64 floats), which takes the new one's place. */
EXPORT void graphscope_cosines(int64_t n, const char *const *data, const int64_t *counts, const int32_t *dtypes,
                               int64_t runs, float *const *kept, double *cosines) {
    for (int64_t i = 0; i < n; i++) cosines[i] = cosine(data[i], counts[i], dtypes[i], runs, kept[i]);
}
