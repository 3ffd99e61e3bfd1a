/* stages.c: one whole training step as a program, to be looked at.
 *
 * The net and the rule are those of digits.c: forward, backward and Adam's update,
 * written here as one function from the old state to the new. It runs once, so that it is
 * known to be what it says, and is written as kiln's text; stages.sh has kilnc write
 * every later stage of it.
 *   ./stages step.kl */
#include <kiln.h>
#include <stdio.h>

enum {
    BATCH = 32,
    PIXELS = 64,
    HIDDEN = 128,
    CLASSES = 10,
    N = 4,
    NIN = 3 + 3 * N,
    NOUT = 1 + 3 * N
};

/* in: x, y, step number, parameters, first moments, second moments; out: loss, the new
 * ones. */
static void step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    static const char *const names[N] = {"w1_new", "b1_new", "w2_new", "b2_new"};
    kl_tensor *const *p = in + 3, *const *m = in + 3 + N, *const *v = in + 3 + 2 * N,
                     *g[N] = {NULL};
    (void)user;
    for (int i = 0; i < N; i++)
        kl_requires_grad_(p[i]);
    kl_tensor *hidden = kl_named(kl_relu(kl_linear(in[0], p[0], p[1])), "hidden");
    out[0] = kl_named(kl_cross_entropy(kl_linear(hidden, p[2], p[3]), in[1]), "loss");
    kl_grad(out[0], p, N, g);
    kl_no_grad_begin();
    kl_tensor *root = kl_sqrt(kl_sub(1.0, kl_pow(0.999, in[2])));
    kl_tensor *rate = kl_div(0.01, kl_sub(1.0, kl_pow(0.9, in[2])));
    for (int i = 0; i < N; i++) {
        kl_tensor *m1 = out[1 + N + i] = kl_add(kl_mul(m[i], 0.9), kl_mul(g[i], 0.1));
        kl_tensor *v1 = out[1 + 2 * N + i] =
            kl_add(kl_mul(v[i], 0.999), kl_mul(kl_square(g[i]), 0.001));
        kl_tensor *d = kl_div(m1, kl_add(kl_div(kl_sqrt(v1), root), 1e-8));
        out[1 + i] = kl_named(kl_sub(p[i], kl_mul(d, rate)), names[i]);
    }
    kl_no_grad_end();
}

static kl_function *compile_step(void)
{
    static const char *const names[] = {"w1",   "b1",   "w2",   "b2",   "m_w1", "m_b1",
                                        "m_w2", "m_b2", "v_w1", "v_b1", "v_w2", "v_b2"};
    kl_input in[NIN] = {{"x", KL_F32, kl_shape(BATCH, PIXELS)},
                        {"y", KL_I64, kl_shape(BATCH)},
                        {"t", KL_F32, kl_shape()}};
    const kl_ints shapes[N] = {kl_shape(HIDDEN, PIXELS), kl_shape(HIDDEN),
                               kl_shape(CLASSES, HIDDEN), kl_shape(CLASSES)};
    for (int i = 0; i < 3 * N; i++)
        in[3 + i] = (kl_input){names[i], KL_F32, shapes[i % N]};
    return kl_compile(step, NULL, in, NIN, NOUT);
}

/* Ten steps on one batch of made-up images: the loss must fall. Prints the first and the
 * last. */
static int run(const kl_function *f)
{
    static float x[BATCH][PIXELS], state[2][3 * N][HIDDEN * PIXELS], loss, first;
    static int64_t y[BATCH];
    for (int i = 0; i < BATCH * PIXELS; i++)
        x[i / PIXELS][i % PIXELS] = (float)(i * 37 % 17) / 16.0f;
    for (int i = 0; i < BATCH; i++)
        y[i] = i % CLASSES;
    for (int p = 0; p < N; p += 2)
        for (int i = 0; i < HIDDEN * PIXELS; i++)
            state[0][p][i] = (float)(i * 7919 % 257 - 128) / 1280.0f;
    for (int s = 0; s < 10; s++) {
        float t = (float)(s + 1);
        const void *in[NIN] = {x, y, &t};
        void *out[NOUT] = {&loss};
        for (int i = 0; i < 3 * N; i++) {
            in[3 + i] = state[s % 2][i];
            out[1 + i] = state[1 - s % 2][i];
        }
        if (kl_function_call(f, in, out) != KL_OK)
            return 1;
        first = s ? first : loss;
    }
    printf("one training step as a program: loss %.4f, after ten steps %.4f\n",
           (double)first, (double)loss);
    return !(loss < first);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return fprintf(stderr, "usage: stages step.kl\n"), 2;
    kl_function *f = compile_step();
    int wrong = f ? run(f) : 1;
    kl_program_save(f, argv[1]);
    kl_function_free(f);
    if (kl_failed())
        return fprintf(stderr, "stages: %s\n", kl_error()), 1;
    return wrong;
}
