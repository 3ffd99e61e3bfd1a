/* train.c: a whole training step (forward, backward, Adam) as one compiled function: runs
 * it, and saves it for kilnc.   train FILE.kl */
#include "train.h"

#include <kiln.h>

static kl_function *compiled;

/* x, y, t, then four parameters, their means, their squares; out: loss, then those three.
 */
static void trace(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor *p[PARAMS], *g[PARAMS];
    kl_tensor *bc1 = kl_sub(1.0, kl_pow(0.9, in[2])),
              *bc2 = kl_sub(1.0, kl_pow(0.999, in[2]));
    (void)user;
    for (int i = 0; i < PARAMS; i++)
        p[i] = kl_requires_grad_(kl_detach(in[3 + i]));
    kl_tensor *h = kl_relu(kl_linear(in[0], p[0], p[1]));
    kl_tensor *loss = kl_cross_entropy(kl_linear(h, p[2], p[3]), in[1]);
    kl_grad(loss, p, PARAMS, g);
    out[0] = kl_detach(loss);
    for (int i = 0; i < PARAMS; i++) {
        kl_tensor *m = in[7 + i], *v = in[11 + i];
        m = kl_add(kl_mul(m, 0.9), kl_mul(g[i], 0.1));
        v = kl_add(kl_mul(v, 0.999), kl_mul(kl_mul(g[i], g[i]), 0.001));
        kl_tensor *d = kl_add(kl_sqrt(kl_div(v, bc2)), 1e-8);
        out[1 + i] = kl_sub(in[3 + i], kl_mul(kl_div(kl_div(m, bc1), d), 0.01));
        out[5 + i] = m;
        out[9 + i] = v;
    }
}

static int step(state *s)
{
    const void *in[15] = {s->x, s->y, &s->t};
    void *out[13] = {&s->loss};
    for (int i = 0; i < PARAMS; i++) {
        in[3 + i] = s->p[i], in[7 + i] = s->m[i], in[11 + i] = s->v[i];
        out[1 + i] = s->p2[i], out[5 + i] = s->m2[i], out[9 + i] = s->v2[i];
    }
    return (int)kl_function_call(compiled, in, out);
}

int main(int argc, char **argv)
{
    static state s;
    kl_ints shapes[PARAMS] = {kl_shape(HIDDEN, PIXELS), kl_shape(HIDDEN),
                              kl_shape(DIGITS, HIDDEN), kl_shape(DIGITS)};
    kl_input in[15] = {{"x", KL_F32, kl_shape(ROWS, PIXELS)},
                       {"y", KL_I64, kl_shape(ROWS)},
                       {"t", KL_F32, kl_shape()}};
    for (int i = 0; i < 3 * PARAMS; i++)
        in[3 + i] = (kl_input){NULL, KL_F32, shapes[i % PARAMS]};
    compiled = kl_compile(trace, NULL, in, 15, 13);
    int bad =
        !compiled || argc != 2 || kl_program_save(compiled, argv[1]) || train(&s, step);
    if (bad)
        fprintf(stderr, "train: %s\n", kl_error());
    return bad;
}
