/* predict.c: the net that digits.c trained, in a program without kiln: this file, the
 * header and the object that kilnc wrote, and the C library.
 *
 *   kilnc samples/digits.kl -o digits.o --header digits.h
 *   cc samples/predict.c digits.o -o predict
 *   ./predict samples/data/digits.csv [labels.txt]
 *
 * Prints the accuracy on the test rows; with a file of labels (one a line, as digits.c
 * writes them), also how many are the same, and fails if one is not. */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEST = 359, PIXELS = 64 };

static float pixels[TEST][PIXELS];
static int64_t truth[TEST], label[TEST];

/* Rows 4, 9, 14, ..: 64 pixels from 0 to 16, then the digit. */
static int read_row(FILE *f, float *row, int64_t *digit)
{
    double v;
    for (int i = 0; i <= PIXELS; i++) {
        if (fscanf(f, i ? ",%lf" : "%lf", &v) != 1)
            return 0;
        if (i < PIXELS)
            row[i] = (float)v;
    }
    *digit = (int64_t)v;
    return 1;
}

static int read_tests(const char *path)
{
    FILE *f = fopen(path, "r");
    float row[PIXELS];
    int64_t digit;
    int n = 0;
    for (int r = 0; f && n < TEST && read_row(f, row, &digit); r++) {
        if (r % 5 != 4)
            continue;
        for (int i = 0; i < PIXELS; i++)
            pixels[n][i] = row[i];
        truth[n++] = digit;
    }
    if (f)
        fclose(f);
    return n;
}

static int same_labels(const char *path)
{
    FILE *f = fopen(path, "r");
    long long v;
    int n = 0;
    for (int i = 0; f && i < TEST && fscanf(f, "%lld", &v) == 1; i++)
        n += v == label[i];
    if (f)
        fclose(f);
    return n;
}

int main(int argc, char **argv)
{
    int right = 0, same = TEST;
    if (argc < 2)
        return fprintf(stderr, "usage: predict digits.csv [labels.txt]\n"), 2;
    if (read_tests(argv[1]) != TEST)
        return fprintf(stderr, "predict: %s: not the digits\n", argv[1]), 1;
    int code = digits(&pixels[0][0], label);
    if (code != DIGITS_OK)
        return fprintf(stderr, "predict: code %d\n", code), 1;
    for (int i = 0; i < TEST; i++)
        right += label[i] == truth[i];
    printf("predict: %d of %d test rows right: %.2f%%\n", right, TEST,
           100.0 * right / TEST);
    if (argc > 2) {
        same = same_labels(argv[2]);
        printf("predict: %d of %d labels as the JIT gives them\n", same, TEST);
    }
    return same != TEST;
}
