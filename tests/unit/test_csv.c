/* test_csv.c: CSV as numpy.loadtxt reads it: delimiters, comments, line ends, numbers;
 * each malformed table by its line and column; and the digits. */
#include "runtime/runtime.h"

#include <check.h>
#include <stdlib.h>

#define BYTES(a) a, sizeof a - 1

static double element(const kl_buffer *b, int64_t i)
{
    return ((const double *)(const void *)kl_buffer_data(b))[i];
}

static const struct {
    const char *text;
    char delimiter;
    int skip;
    int64_t rows, columns;
    double v[6];
} tables[] = {
    {"1,2,3\n4,5,6\n", ',', 0, 2, 3, {1, 2, 3, 4, 5, 6}},
    {"1,2,3\r\n4,5,6", ',', 0, 2, 3, {1, 2, 3, 4, 5, 6}},
    {"1,2\r3,4\r", ',', 0, 2, 2, {1, 2, 3, 4}},
    {"# head\n\n 1.5 , -2e3 # two\n#\n  \ninf,1e-400\n",
     ',',
     0,
     2,
     2,
     {1.5, -2000, __builtin_inf(), 0}},
    {"a,b\nc\n7\n8", ',', 2, 2, 1, {7, 8}},
    {"  1 2\t3  \n4  5 6", ' ', 0, 2, 3, {1, 2, 3, 4, 5, 6}},
    {"1\t2\n3\t4", '\t', 0, 2, 2, {1, 2, 3, 4}},
    {"1;+2;.5", ';', 0, 1, 3, {1, 2, .5}},
    {"\xEF\xBB\xBF"
     "5",
     ',',
     0,
     1,
     1,
     {5}},
    {"", ',', 0, 0, 0, {0}},
    {"# nothing\n", ',', 0, 0, 0, {0}},
    {"1\n", ',', 9, 0, 0, {0}},
};

START_TEST(test_csv)
{
    kl_buffer b;
    kl_error_clear();
    kl_csv_parse("t.csv", tables[_i].text, strlen(tables[_i].text), tables[_i].delimiter,
                 tables[_i].skip, &b);
    ck_assert_str_eq(kl_error(), "");
    ck_assert(b.dtype == KL_F64 && b.rank == 2);
    ck_assert_int_eq(b.shape[0], tables[_i].rows);
    ck_assert_int_eq(b.shape[1], tables[_i].columns);
    for (int64_t i = 0; i < b.shape[0] * b.shape[1]; i++)
        ck_assert(element(&b, i) == tables[_i].v[i]);
    kl_memory_unref(b.mem);
}
END_TEST

static const struct {
    const char *text;
    size_t size;
    char delimiter;
    const char *message;
} bad_tables[] = {
    {BYTES("1,2\n\n3,x4\n"), ',', "t.csv:3: column 2: 'x4' is not a number"},
    {BYTES("1,2\n3\n"), ',', "t.csv:2: 1 columns, the rows above have 2"},
    {BYTES("1,2,\n"), ',', "t.csv:1: column 3: '' is not a number"},
    {BYTES(",,,,,,,\n1\n"), ',', "t.csv:2: 1 columns, the rows above have 8"},
    {BYTES("1,2,3,4,5,6,7,8,9,9,9,9\n1\n1\n1\n1\n"), ',',
     "t.csv:2: 1 columns, the rows above have 12"},
    {BYTES(",,,,,,,,,\n,,,,,,,,,\n"), ',', "t.csv:1: column 1: '' is not a number"},
    {BYTES("0x10\n"), ',', "t.csv:1: column 1: '0x10' is not a number"},
    {BYTES("1 2\n"), ',', "t.csv:1: column 1: '1 2' is not a number"},
    {BYTES("1,2\0,3\n"), ',', "t.csv:1: column 2: '2' is not a number"},
    {BYTES("1\n"), 'e', "t.csv: character 101 cannot separate numbers"},
    {BYTES("1\n"), 0, "t.csv: character 0 cannot separate numbers"},
};

START_TEST(test_bad_csv)
{
    kl_buffer b;
    kl_error_clear();
    ck_assert_int_ne(kl_csv_parse("t.csv", bad_tables[_i].text, bad_tables[_i].size,
                                  bad_tables[_i].delimiter, 0, &b),
                     KL_OK);
    ck_assert_str_eq(kl_error(), bad_tables[_i].message);
}
END_TEST

START_TEST(test_digits)
{
    char path[512];
    kl_buffer b;
    kl_error_clear();
    const char *root = getenv("SOURCE_ROOT");
    snprintf(path, sizeof path, "%s/samples/data/digits.csv", root ? root : ".");
    ck_assert_msg(kl_csv_read(path, ',', 0, &b) == KL_OK, "%s", kl_error());
    ck_assert(b.shape[0] == 1797 && b.shape[1] == 65);
    double sum = 0;
    for (int64_t i = 0; i < 1797 * 65; i++)
        sum += element(&b, i);
    ck_assert(sum == 569788); /* numpy.loadtxt(..).sum() */
    kl_memory_unref(b.mem);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("csv");
    TCase *tc = tcase_create("csv");
    tcase_add_loop_test(tc, test_csv, 0, KL_COUNT(tables));
    tcase_add_loop_test(tc, test_bad_csv, 0, KL_COUNT(bad_tables));
    tcase_add_test(tc, test_digits);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
