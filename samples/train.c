/* train.c: a classifier of hand-written digits trained in a program without kiln: this
 * file, two headers and two objects that kilnc wrote, and the C library. A step (forward,
 * backward, Adam) is one call; parameters and the optimiser's state are this program's
 * own arrays, which the step replaces where they are.
 *
 *   ./step .                                                       (step.c, with kiln)
 *   kilnc step.kl -o step.o --header step.h
 *   kilnc label.kl -o label.o --header label.h
 *   cc samples/train.c step.o label.o -lm -o train
 *   ./train samples/data/digits.csv [epochs]
 *
 * Rows 4, 9, 14, .. of the file are for the test; the others are trained on, shuffled, 32
 * at a time and what is left over. */
#include "label.h"
#include "step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAIN = 1438, TEST = 359, PIXELS = 64, HIDDEN = 128, CLASSES = 10, BATCH = 32 };

typedef struct state { /* the parameters, or one of the two means of their gradients */
    float w1[HIDDEN * PIXELS], b1[HIDDEN], w2[CLASSES * HIDDEN], b2[CLASSES];
} state;

static float train_x[TRAIN][PIXELS], test_x[TEST][PIXELS];
static int64_t train_y[TRAIN], test_y[TEST];
static state p, m, v;

/* 64 pixels from 0 to 16, then the digit. */
static int read_row(FILE *f, float *row, int64_t *digit)
{
    double d;
    for (int i = 0; i <= PIXELS; i++) {
        if (fscanf(f, i ? ",%lf" : "%lf", &d) != 1)
            return 0;
        if (i < PIXELS)
            row[i] = (float)d;
    }
    *digit = (int64_t)d;
    return 1;
}

static int read_digits(const char *path)
{
    FILE *f = fopen(path, "r");
    int ok = f != NULL, train = 0, test = 0;
    for (int r = 0; ok && r < TRAIN + TEST; r++)
        ok = r % 5 == 4 ? read_row(f, test_x[test], &test_y[test]) && ++test
                        : read_row(f, train_x[train], &train_y[train]) && ++train;
    if (f)
        fclose(f);
    return ok;
}

static uint32_t draw(uint32_t below)
{
    static uint64_t s = 1;
    s = s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((s >> 32) * below >> 32);
}

static void fill(float *w, int n, int inputs)
{
    for (int i = 0; i < n; i++)
        w[i] = sqrtf(6.0f / (float)inputs) * ((float)draw(1 << 24) / (1 << 23) - 1);
}

static int step_on(const int *rows, int n, int t, double *sum)
{
    float x[BATCH][PIXELS], number = (float)t, loss;
    int64_t y[BATCH];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < PIXELS; j++)
            x[i][j] = train_x[rows[i]][j];
        y[i] = train_y[rows[i]];
    }
    int code = step(n, &x[0][0], y, &number, p.w1, p.b1, p.w2, p.b2, m.w1, m.b1, m.w2,
                    m.b2, v.w1, v.b1, v.w2, v.b2, &loss, p.w1, p.b1, p.w2, p.b2, m.w1,
                    m.b1, m.w2, m.b2, v.w1, v.b1, v.w2, v.b2);
    *sum += (double)loss * n;
    return code;
}

/* One pass over the shuffled rows; the mean loss, or below 0. */
static double epoch(int *t)
{
    int order[TRAIN], code = STEP_OK;
    double sum = 0;
    for (int i = 0; i < TRAIN; i++) {
        int j = (int)draw((uint32_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < TRAIN && code == STEP_OK; i += BATCH)
        code = step_on(order + i, i + BATCH < TRAIN ? BATCH : TRAIN - i, ++*t, &sum);
    if (code != STEP_OK)
        fprintf(stderr, "train: a step returned code %d\n", code);
    return code == STEP_OK ? sum / TRAIN : -1;
}

static double accuracy(void)
{
    static int64_t said[TEST];
    int right = 0;
    if (label(&test_x[0][0], p.w1, p.b1, p.w2, p.b2, said) != LABEL_OK)
        return -1;
    for (int i = 0; i < TEST; i++)
        right += said[i] == test_y[i];
    return 100.0 * right / TEST;
}

int main(int argc, char **argv)
{
    int epochs = argc > 2 ? atoi(argv[2]) : 20, t = 0;
    double loss = 0, right;
    if (argc < 2)
        return fprintf(stderr, "usage: train digits.csv [epochs]\n"), 2;
    if (!read_digits(argv[1]))
        return fprintf(stderr, "train: %s: not the digits\n", argv[1]), 1;
    fill(p.w1, HIDDEN * PIXELS, PIXELS);
    fill(p.w2, CLASSES * HIDDEN, HIDDEN);
    for (int e = 0; e < epochs && loss >= 0; e++)
        loss = epoch(&t);
    right = accuracy();
    printf("train: %d steps, loss %.4f, test accuracy %.2f%%\n", t, loss, right);
    return loss < 0 || right < (epochs < 20 ? 90 : 97);
}
