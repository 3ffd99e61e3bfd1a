/* main.c: the benchmarks' C program. "bench serve" reads commands, one a line, and
 * answers each with one line; bars.py sends them, to this and to the peers in turn.
 *
 *   prepare CASE [TARGET]  ->  ok KERNELS      compiled, inputs filled, run once
 *   save FOLDER            ->  ok N            outputs as FOLDER/0.bin ..
 *   time SECONDS           ->  ok BEST         the least time of a run within so long
 *   native NAME [SECONDS]  ->  ok RATE         operations or bytes a second, kept so long
 *
 * What fails answers "error WHY". "bench NAME" measures NAME in this process (latency.c).
 */
#include "bench.h"

static bench_program now;
static bool ready;

static int answer_error(void)
{
    printf("error %s\n", kl_failed() ? kl_error() : "no such case");
    kl_error_clear();
    return 0;
}

static const bench_case *find(const bench_case *c, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(c[i].name, name) == 0)
            return &c[i];
    return NULL;
}

static int prepare(const char *name, const char *target)
{
    const bench_case *c = find(bench_cases, bench_cases_count, name);
    if (!c)
        c = find(bench_rows, bench_rows_count, name);
    if (ready)
        bench_free(&now);
    ready = false;
    if (!c || bench_compile(c, *target ? target : NULL, &now) != KL_OK ||
        bench_run(&now) != KL_OK)
        return answer_error();
    ready = true;
    return printf("ok %d\n", now.program->nkernels);
}

static int save(const char *folder)
{
    for (int i = 0; ready && i < now.nout; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%d.bin", folder, i);
        FILE *f = fopen(path, "wb");
        bool ok = f && fwrite(now.out[i], 1, now.out_bytes[i], f) == now.out_bytes[i];
        if ((f && fclose(f) != 0) || !ok)
            return printf("error cannot write %s\n", path);
    }
    return ready ? printf("ok %d\n", now.nout) : answer_error();
}

/* Short runs are timed several at once, so that the clock does not count. */
static int times(double seconds)
{
    double best = 1e30, end = bench_now() + seconds, one = 0;
    for (int n = 0; ready && (n < 3 || bench_now() < end); n++) {
        int batch = one > 0 ? (int)KL_MIN(KL_MAX(2e-4 / one, 1), 1000) : 1;
        double begin = bench_now();
        for (int i = 0; i < batch; i++)
            if (bench_run(&now) != KL_OK)
                return answer_error();
        one = (bench_now() - begin) / batch;
        best = KL_MIN(best, one);
    }
    return ready ? printf("ok %.9g\n", best) : answer_error();
}

static int obey(char *line)
{
    char command[16] = "", name[512] = "", target[64] = "";
    sscanf(line, "%15s %511s %63s", command, name, target);
    if (strcmp(command, "prepare") == 0)
        return prepare(name, target);
    if (strcmp(command, "save") == 0)
        return save(name);
    if (strcmp(command, "time") == 0)
        return times(strtod(name, NULL));
    if (strcmp(command, "native") == 0)
        return printf("ok %.9g\n",
                      bench_native_rate(name, kl_threads(), strtod(target, NULL)));
    return printf("error unknown command %s\n", command);
}

int main(int argc, char **argv)
{
    char line[1024];
    if (argc == 2 && strcmp(argv[1], "serve") != 0)
        return bench_latency(argv[1]);
    if (argc != 2) {
        fprintf(stderr, "usage: bench serve | bench NAME\n");
        return 2;
    }
    while (fgets(line, sizeof line, stdin)) {
        obey(line);
        fflush(stdout);
    }
    if (ready)
        bench_free(&now);
    return 0;
}
