/* open.c: how long a process takes to open libkiln.so, in microseconds: linked to nothing
 * of kiln, so that all that the library needs is loaded too. Usage: bench_open LIBRARY */
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
    double begin = now();
    void *lib = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    double end = now();
    if (!lib || !dlsym(lib, "kl_error")) {
        printf("error %s\n", argc == 2 ? dlerror() : "usage: bench_open LIBRARY");
        return 1;
    }
    printf("ok %.3f\n", end - begin);
    return 0;
}
