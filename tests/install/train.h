/* train.h: the data and the loop that train.c (with kiln) and train_user.c (with nothing
 * but the artefact) share: a 64-128-10 net, Adam, 30 steps, each loss printed to its last
 * bit. */
#ifndef TRAIN_H
#define TRAIN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 32, PIXELS = 64, HIDDEN = 128, DIGITS = 10, PARAMS = 4, STEPS = 30 };

static const int sizes[PARAMS] = {HIDDEN * PIXELS, HIDDEN, DIGITS *HIDDEN, DIGITS};

typedef struct state { /* what one step reads and what it writes */
    float x[ROWS * PIXELS], t, loss;
    int64_t y[ROWS];
    float *p[PARAMS], *m[PARAMS], *v[PARAMS];
    float *p2[PARAMS], *m2[PARAMS], *v2[PARAMS];
} state;

static uint32_t seed = 1;
static float draw(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 16777216.0f - 0.5f;
}

static void swap(float **a, float **b)
{
    float *c = *a;
    *a = *b;
    *b = c;
}

/* 0, or what step said. */
static int train(state *s, int (*step)(state *s))
{
    int i, k;
    for (k = 0; k < PARAMS; k++) {
        float **all[6];
        all[0] = &s->p[k], all[1] = &s->m[k], all[2] = &s->v[k];
        all[3] = &s->p2[k], all[4] = &s->m2[k], all[5] = &s->v2[k];
        for (i = 0; i < 6; i++)
            if (!(*all[i] = (float *)calloc((size_t)sizes[k], sizeof(float))))
                return 1;
        for (i = 0; i < sizes[k]; i++)
            s->p[k][i] = draw() / 4;
    }
    for (i = 0; i < ROWS * PIXELS; i++)
        s->x[i] = draw();
    for (i = 0; i < ROWS; i++)
        s->y[i] = i % DIGITS;
    for (i = 1; i <= STEPS; i++) {
        int bad;
        s->t = (float)i;
        if ((bad = step(s)) != 0)
            return bad;
        printf("%d %a\n", i, (double)s->loss);
        for (k = 0; k < PARAMS; k++) {
            swap(&s->p[k], &s->p2[k]);
            swap(&s->m[k], &s->m2[k]);
            swap(&s->v[k], &s->v2[k]);
        }
    }
    return s->loss < 0.5f ? 0 : 100; /* it starts above 2 */
}

#endif
