/* harness.hpp: CUDA C on the CPU. It stands before the text that libnvrtc's stand-in compiles
 * and defines what NVRTC has built in, over the kl_host that the stand-in driver gives to a
 * module. Every load and store of the text arrives at kl_host.access by way of the calls that
 * -fsanitize=thread puts there; functions of this file are not looked at (KL_BLIND). It
 * includes no system header, so that the text may define any name it likes. */
#include "standin.h"

#define KL_HARNESS 1
#define KL_BLIND __attribute__((no_sanitize("thread")))
#define KL_HOOK extern "C" __attribute__((no_sanitize("thread"), visibility("hidden"), used))

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("kl_shared_data")))
#define __constant__ static const

static kl_host *kl_the_host;

/* ---- what the sanitizer's calls do ------------------------------------------------ */

#define KL_WATCH(name, size, kind) \
    KL_HOOK void __tsan_##name(void *p) { kl_the_host->access(p, size, kind); }
#define KL_WATCH_SIZE(size) \
    KL_WATCH(read##size, size, KL_READ) \
    KL_WATCH(write##size, size, KL_WRITE) \
    KL_WATCH(unaligned_read##size, size, KL_READ) \
    KL_WATCH(unaligned_write##size, size, KL_WRITE)
KL_WATCH_SIZE(1)
KL_WATCH_SIZE(2)
KL_WATCH_SIZE(4)
KL_WATCH_SIZE(8)
KL_WATCH_SIZE(16)
KL_HOOK void __tsan_read_range(void *p, unsigned long n) { kl_the_host->access(p, n, KL_READ); }
KL_HOOK void __tsan_write_range(void *p, unsigned long n)
{
    kl_the_host->access(p, n, KL_WRITE);
}
KL_HOOK void __tsan_init(void) {}
KL_HOOK void __tsan_func_entry(void *) {}
KL_HOOK void __tsan_func_exit(void) {}

/* ---- built-in variables and barriers ---------------------------------------------- */

KL_BLIND static kl_index3 kl_thread_index() { return kl_the_host->thread; }
KL_BLIND static kl_index3 kl_block_index() { return kl_the_host->block; }
KL_BLIND static kl_index3 kl_block_size() { return kl_the_host->block_dim; }
KL_BLIND static kl_index3 kl_grid_size() { return kl_the_host->grid_dim; }
KL_BLIND static unsigned char *kl_shared_base() { return kl_the_host->shared; }
#define threadIdx kl_thread_index()
#define blockIdx kl_block_index()
#define blockDim kl_block_size()
#define gridDim kl_grid_size()
#define kl_shared_bytes kl_shared_base()

KL_BLIND static void __syncthreads() { kl_the_host->barrier(); }
KL_BLIND static void __syncwarp(unsigned mask = ~0u) { kl_the_host->warp_barrier(mask); }
static inline void __threadfence() {}

/* ---- warp exchanges --------------------------------------------------------------- */

KL_BLIND static int kl_lane_number()
{
    return (int)(kl_the_host->thread.x + kl_the_host->thread.y * kl_the_host->block_dim.x) & 31;
}
template <class T> KL_BLIND static T kl_from_lane(unsigned mask, T v, int lane)
{
    T all[32];
    kl_the_host->exchange(mask, &v, sizeof v, all);
    return lane < 0 || lane > 31 ? v : all[lane];
}
template <class T> KL_BLIND static T __shfl_sync(unsigned mask, T v, int lane)
{
    return kl_from_lane(mask, v, lane & 31);
}
template <class T> KL_BLIND static T __shfl_xor_sync(unsigned mask, T v, int m)
{
    return kl_from_lane(mask, v, kl_lane_number() ^ m);
}
template <class T> KL_BLIND static T __shfl_up_sync(unsigned mask, T v, unsigned d)
{
    return kl_from_lane(mask, v, kl_lane_number() - (int)d);
}
template <class T> KL_BLIND static T __shfl_down_sync(unsigned mask, T v, unsigned d)
{
    return kl_from_lane(mask, v, kl_lane_number() + (int)d);
}
KL_BLIND static unsigned __ballot_sync(unsigned mask, int p)
{
    unsigned char all[32], mine = p != 0;
    unsigned bits = 0;
    kl_the_host->exchange(mask, &mine, 1, all);
    for (int i = 0; i < 32; i++)
        bits |= (unsigned)(all[i] == 1) << i;
    return bits;
}

/* ---- arithmetic ------------------------------------------------------------------- */

extern "C" {
float floorf(float), ceilf(float), truncf(float), rintf(float), fmodf(float, float);
double floor(double), ceil(double), trunc(double), rint(double), fmod(double, double);
float copysignf(float, float);
double copysign(double, double);
}
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
static inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
template <class To, class From> KL_BLIND static inline To kl_same_bits(From x)
{
    To y;
    static_assert(sizeof x == sizeof y, "sizes");
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
static inline unsigned __float_as_uint(float x) { return kl_same_bits<unsigned>(x); }
static inline float __uint_as_float(unsigned x) { return kl_same_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return kl_same_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return kl_same_bits<double>(x); }

template <class T> KL_BLIND static T atomicAdd(T *p, T v)
{
    kl_the_host->access(p, sizeof *p, KL_ATOMIC);
    T old = *p;
    *p = old + v;
    return old;
}
template <class T> KL_BLIND static T atomicCAS(T *p, T expected, T v)
{
    kl_the_host->access(p, sizeof *p, KL_ATOMIC);
    T old = *p;
    if (old == expected)
        *p = v;
    return old;
}

/* ---- vectors of registers --------------------------------------------------------- */

#define KL_VECTOR2(T, name) \
    struct __align__(2 * sizeof(T)) name##2 { T x, y; }; \
    static inline name##2 make_##name##2(T x, T y) { return name##2{x, y}; }
#define KL_VECTOR4(T, name, align) \
    struct __align__(align) name##4 { T x, y, z, w; }; \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return name##4{x, y, z, w}; }
KL_VECTOR2(float, float)
KL_VECTOR2(double, double)
KL_VECTOR2(int, int)
KL_VECTOR2(unsigned, uint)
KL_VECTOR2(long long, longlong)
KL_VECTOR2(unsigned long long, ulonglong)
KL_VECTOR4(float, float, 16)
KL_VECTOR4(int, int, 16)
KL_VECTOR4(unsigned, uint, 16)
KL_VECTOR4(unsigned short, ushort, 8)
KL_VECTOR4(unsigned char, uchar, 4)
KL_VECTOR4(signed char, char, 4)

/* ---- asynchronous copy: the bytes arrive when they are waited for ----------------- */

KL_BLIND static void kl_async_copy16(void *to, const void *from, int valid)
{
    kl_the_host->async_copy(to, from, 16, valid);
}
KL_BLIND static void kl_async_copy8(void *to, const void *from, int valid)
{
    kl_the_host->async_copy(to, from, 8, valid);
}
KL_BLIND static void kl_async_copy4(void *to, const void *from, int valid)
{
    kl_the_host->async_copy(to, from, 4, valid);
}
KL_BLIND static void kl_async_commit() { kl_the_host->async_commit(); }
template <int N> KL_BLIND static void kl_async_wait() { kl_the_host->async_wait(N); }

/* ---- matrix units: PTX's fragment layouts ----------------------------------------- */

/* Matrix j of the four has its rows at the addresses of lanes 8j .. 8j+7; lane l receives the
 * two elements at row l / 4, columns 2 (l % 4) and the next; transposed, of the transpose. */
KL_BLIND static void kl_load_matrices(unsigned *r, const void *row, bool transposed)
{
    const unsigned short *rows[32];
    int lane = kl_lane_number();
    kl_the_host->access(row, 16, KL_READ);
    kl_the_host->exchange(~0u, &row, sizeof row, rows);
    for (int j = 0; j < 4; j++) {
        unsigned e[2];
        for (int k = 0; k < 2; k++) {
            int y = lane / 4, x = lane % 4 * 2 + k;
            e[k] = transposed ? rows[8 * j + x][y] : rows[8 * j + y][x];
        }
        r[j] = e[0] | e[1] << 16;
    }
    kl_the_host->exchange(~0u, &row, sizeof row, rows);
}
KL_BLIND static void kl_ldmatrix4(unsigned *r, const void *row)
{
    kl_load_matrices(r, row, false);
}
KL_BLIND static void kl_ldmatrix4_t(unsigned *r, const void *row)
{
    kl_load_matrices(r, row, true);
}

KL_BLIND static float kl_half_value(unsigned h)
{
    unsigned mag = h & 0x7fff, sign = (h & 0x8000) << 16;
    float v = mag >= 0x7c00 ? __uint_as_float(0x7f800000u | (mag & 0x3ff) << 13)
              : mag >= 0x400 ? __uint_as_float((mag << 13) + (112u << 23))
                             : (float)mag * 0x1p-24f;
    return __uint_as_float(__float_as_uint(v) | sign);
}
KL_BLIND static float kl_bhalf_value(unsigned h) { return __uint_as_float(h << 16); }
KL_BLIND static int kl_i8_value(unsigned b) { return (signed char)b; }
KL_BLIND static int kl_u8_value(unsigned b) { return (int)b; }

/* Element e of a register that holds 32 / BITS of them, of the register r of lane l. */
template <int BITS> KL_BLIND static unsigned kl_part(const unsigned (*all)[4], int l, int r, int e)
{
    return all[l][r] >> (BITS * e) & ((1u << BITS) - 1);
}
/* D[16,8] += A[16,K] B[K,8]. With P = 32 / BITS elements a register and K = 8 P: row i, column k
 * of A is in lane 4 (i % 8) + k / P % 4, register (i / 8) + 2 (k / (4 P)); row k, column j of B
 * in lane 4 j + k / P % 4, register k / (4 P); D[i,j] in lane 4 (i % 8) + j / 2, register
 * 2 (i / 8) + j % 2. */
template <int BITS, class T, class Value>
KL_BLIND static void kl_multiply(T *d, const unsigned *a, const unsigned *b, Value value)
{
    const int P = 32 / BITS, lane = kl_lane_number();
    unsigned as[32][4], bs[32][4], mine[4] = {b[0], b[1], 0, 0};
    kl_the_host->exchange(~0u, a, 16, as);
    kl_the_host->exchange(~0u, mine, 16, bs);
    for (int r = 0; r < 4; r++) {
        int i = lane / 4 + 8 * (r / 2), j = lane % 4 * 2 + r % 2;
        for (int k = 0; k < 8 * P; k++) {
            int at = k / P % 4, half = k / (4 * P);
            unsigned x = kl_part<BITS>(as, 4 * (i % 8) + at, i / 8 + 2 * half, k % P);
            unsigned y = kl_part<BITS>(bs, 4 * j + at, half, k % P);
            d[r] += value(x) * value(y);
        }
    }
}
KL_BLIND static void kl_mma_f16(float *d, const unsigned *a, const unsigned *b)
{
    kl_multiply<16>(d, a, b, kl_half_value);
}
KL_BLIND static void kl_mma_bf16(float *d, const unsigned *a, const unsigned *b)
{
    kl_multiply<16>(d, a, b, kl_bhalf_value);
}
KL_BLIND static void kl_mma_i8(int *d, const unsigned *a, const unsigned *b)
{
    kl_multiply<8>(d, a, b, kl_i8_value);
}
KL_BLIND static void kl_mma_u8(int *d, const unsigned *a, const unsigned *b)
{
    kl_multiply<8>(d, a, b, kl_u8_value);
}

/* ---- entries: one KL_ENTRY a kernel, then KL_MODULE, written by nvrtc.c ----------- */

template <int... I> struct kl_numbers {};
template <int N, int... I> struct kl_count_to : kl_count_to<N - 1, N - 1, I...> {};
template <int... I> struct kl_count_to<0, I...> { typedef kl_numbers<I...> type; };
template <class... A> constexpr int kl_arity(void (*)(A...)) { return sizeof...(A); }
template <class... A, int... I>
KL_BLIND static void kl_apply(void (*f)(A...), void **p, kl_numbers<I...>)
{
    static_assert(((sizeof(A) == 8) && ...), "a kernel's parameters are 8 bytes each");
    f(*(A *)p[I]...);
}
#define KL_ENTRY(name) \
    KL_BLIND static void kl_entry_##name(void **p) \
    { \
        kl_apply(name, p, kl_count_to<kl_arity(name)>::type()); \
    }
#define KL_ROW(name, threads) {#name, kl_entry_##name, kl_arity(name), threads},
extern "C" __attribute__((weak, visibility("hidden"))) unsigned char __start_kl_shared_data[],
    __stop_kl_shared_data[];
#define KL_MODULE(rows) \
    static const kl_host_entry kl_entries[] = {rows {0, 0, 0, 0}}; \
    extern "C" __attribute__((visibility("default"), used)) kl_host_module kl_standin_module = { \
        kl_entries, &kl_the_host, __start_kl_shared_data, __stop_kl_shared_data};
