/* test_store.c: what is put is got, from memory and from the folder, in other processes
 * too; damaged, torn and foreign entries are misses and are replaced; caps hold; folders
 * that are not ours, full, or no folders at all, change nothing but speed. */
#include "runtime/runtime.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

/* Tests run in processes of their own, so that each reads the environment anew. */
static void begin(const char *cap)
{
    strcpy(folder, "/tmp/kiln-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("KILN_CACHE", folder, 1);
    if (cap)
        setenv("KILN_CACHE_MAX", cap, 1);
    kl_error_clear();
}

static void path_in(const char *name, char *path)
{
    snprintf(path, 400, "%s/%s", folder, name);
}

/* Call fn on every file in the folder; how many there are. */
static int each(void (*fn)(const char *path))
{
    char path[400];
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            n++;
            path_in(e->d_name, path);
            if (fn)
                fn(path);
        }
    if (d)
        closedir(d);
    return n;
}

static void remove_file(const char *path)
{
    unlink(path);
}

static void end(void)
{
    each(remove_file);
    rmdir(folder);
}

static kl_hash key_of(int i)
{
    return kl_hash_bytes(&i, sizeof i);
}

/* Entry i's bytes are a function of i. */
static size_t fill(int i, char *out)
{
    size_t n = (size_t)(i * 37 % 3000);
    for (size_t k = 0; k < n; k++)
        out[k] = (char)(i + k * k);
    return n;
}

static void put(int i)
{
    char bytes[3000];
    kl_store_put(key_of(i), "kernel", bytes, fill(i, bytes));
}

/* 1: there and right; 0: a miss; -1: wrong. */
static int got(int i)
{
    char want[3000];
    size_t n = fill(i, want), size = 0;
    void *bytes;
    if (kl_store_get(key_of(i), "kernel", &bytes, &size) != KL_OK)
        return -1;
    if (!bytes)
        return 0;
    bool right = size == n && !memcmp(bytes, want, n);
    kl_free(bytes, size);
    return right ? 1 : -1;
}

START_TEST(test_put_get)
{
    size_t before = kl_alloc_live();
    begin(NULL);
    ck_assert_str_eq(kl_store_folder(), folder);
    ck_assert_int_eq(got(0), 0);
    for (int i = 0; i < 50; i++)
        put(i);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(got(i), 1);
        kl_store_forget(0); /* the second time from the folder */
    }
    ck_assert_int_eq(each(NULL), 50);
    void *bytes;
    size_t size;
    ck_assert_int_eq(kl_store_get(key_of(1), "plan", &bytes, &size), KL_OK);
    ck_assert_ptr_null(bytes);
    kl_store_drop(key_of(1), "kernel");
    ck_assert_int_eq(got(1), 0);
    kl_store_trim(0);
    ck_assert_int_eq(each(NULL), 0);
    ck_assert_int_eq(got(2), 0);
    ck_assert_uint_eq(kl_alloc_live(), before);
    ck_assert(!kl_failed());
    end();
}
END_TEST

START_TEST(test_other_process)
{
    begin(NULL);
    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            int bad = 0;
            for (int k = 0; k < 400; k++) {
                int e = (k * 7 + i * 13) % 40;
                if (k % 3 == 0)
                    put(e);
                kl_store_forget(0);
                bad += got(e) < 0;
                if (k % 50 == 0)
                    kl_store_drop(key_of(e), "kernel");
            }
            _exit(bad);
        }
    for (int i = 0, status; i < 4; i++) {
        wait(&status);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    for (int i = 0; i < 40; i++)
        ck_assert_int_ge(got(i), 0);
    end();
}
END_TEST

static void *thread_main(void *arg)
{
    int *bad = arg;
    for (int k = 0; k < 500; k++) {
        put(k % 30);
        if (got(k * 7 % 30) < 0)
            __atomic_add_fetch(bad, 1, __ATOMIC_RELAXED);
        if (k % 20 == 0)
            kl_store_forget(10000);
    }
    return NULL;
}

START_TEST(test_threads)
{
    pthread_t t[4];
    int bad = 0;
    begin(NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, thread_main, &bad);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(bad, 0);
    kl_store_forget(0);
    end();
}
END_TEST

/* ---- damage ---- */

static long damage_at;
static void flip(const char *path)
{
    int fd = open(path, O_RDWR);
    char c = 0;
    ck_assert(pread(fd, &c, 1, damage_at) == 1);
    c ^= 4;
    ck_assert(pwrite(fd, &c, 1, damage_at) == 1);
    close(fd);
}
static void cut(const char *path)
{
    ck_assert_int_eq(truncate(path, damage_at), 0);
}
static void lengthen(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    ck_assert(write(fd, "x", 1) == 1);
    close(fd);
}

static void damage_and_replace(void (*how)(const char *path))
{
    ck_assert_int_eq(each(how), 1);
    kl_store_forget(0);
    ck_assert_int_eq(got(3), 0);
    put(3);
    kl_store_forget(0);
    ck_assert_int_eq(got(3), 1);
    ck_assert_int_eq(each(NULL), 1);
}

START_TEST(test_damage)
{
    size_t size = 88 + 3 * 37;
    begin(NULL);
    put(3);
    for (damage_at = 0; damage_at < (long)size; damage_at += 1) {
        damage_and_replace(flip);
        damage_and_replace(cut);
    }
    damage_and_replace(lengthen);
    ck_assert(!kl_failed());
    end();
}
END_TEST

/* An entry of another key under this one's name. */
static char first_name[400], second_name[400];
static void note_names(const char *path)
{
    strcpy(*first_name ? second_name : first_name, path);
}

START_TEST(test_swapped)
{
    begin(NULL);
    put(3);
    put(4);
    each(note_names);
    ck_assert_int_eq(rename(first_name, second_name), 0);
    kl_store_forget(0);
    ck_assert_int_eq(got(3), 0);
    ck_assert_int_eq(got(4), 0);
    end();
}
END_TEST

static void replace_by_fifo(const char *path)
{
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}
static void replace_by_link(const char *path)
{
    unlink(path);
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
}

START_TEST(test_foreign)
{
    begin(NULL);
    put(3);
    damage_and_replace(replace_by_fifo);
    damage_and_replace(replace_by_link);
    end();
}
END_TEST

/* ---- caps ---- */

static int64_t bytes_there;
static void add_bytes(const char *path)
{
    struct stat st;
    bytes_there += stat(path, &st) == 0 ? st.st_size : 0;
}

START_TEST(test_cap)
{
    char notes[400], stale[400], fresh[400];
    begin("20000");
    path_in("notes.txt", notes);
    path_in(".new-1-1-1", stale);
    path_in(".new-2-2-2", fresh);
    close(open(notes, O_CREAT | O_WRONLY, 0600));
    close(open(stale, O_CREAT | O_WRONLY, 0600));
    close(open(fresh, O_CREAT | O_WRONLY, 0600));
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    utimensat(AT_FDCWD, stale, old, 0);
    for (int i = 1; i < 300; i++) {
        put(i);
        bytes_there = 0;
        each(add_bytes);
        ck_assert_int_le(bytes_there, 20000);
        ck_assert_int_eq(got(i), 1);
    }
    ck_assert_int_gt(bytes_there, 10000);
    ck_assert(access(notes, F_OK) == 0 && access(fresh, F_OK) == 0 &&
              access(stale, F_OK) != 0);
    end();
}
END_TEST

/* Behind the key an entry says which build wrote it: ours, whose code has a hash. */
static void names_build(const char *path)
{
    static const char none[sizeof(kl_hash)];
    kl_hash key = key_of(1);
    void *bytes;
    size_t size;
    ck_assert(kl_file_read(path, &bytes, &size) == KL_OK);
    char *at = memmem(bytes, size, &key, sizeof key);
    ck_assert_ptr_nonnull(at);
    ck_assert(memcmp(at + sizeof key, none, sizeof none) != 0);
    kl_free(bytes, size);
}

START_TEST(test_build)
{
    begin(NULL);
    put(1);
    ck_assert_int_eq(each(names_build), 1);
    end();
}
END_TEST

static void age(const char *path)
{
    struct timespec old[2] = {{5000, 0}, {5000, 0}};
    utimensat(AT_FDCWD, path, old, 0);
}

START_TEST(test_least_recently_used)
{
    begin("3000");
    put(10); /* 370 bytes and a head each */
    put(11);
    put(12);
    each(age);
    kl_store_forget(0);
    ck_assert_int_eq(got(11), 1); /* which makes it young */
    for (int i = 13; i < 17; i++)
        put(i);
    kl_store_forget(0);
    ck_assert_int_eq(got(11), 1);
    ck_assert_int_eq(got(10) + got(12), 0);
    end();
}
END_TEST

START_TEST(test_memory_cap)
{
    char *big = calloc(1, 20 << 20);
    void *bytes;
    size_t size;
    setenv("KILN_CACHE", "", 1);
    ck_assert_str_eq(kl_store_folder(), "");
    size_t before = kl_alloc_live();
    for (int i = 0; i < 8; i++) {
        kl_store_put(key_of(i), "kernel", big, 20 << 20);
        kl_store_get(key_of(0), "kernel", &bytes, &size); /* used again: stays */
        ck_assert_ptr_nonnull(bytes);
        kl_free(bytes, size);
        ck_assert_uint_le(kl_alloc_live() - before, 64 << 20);
    }
    kl_store_get(key_of(3), "kernel", &bytes, &size);
    ck_assert_ptr_null(bytes);
    kl_store_put(key_of(9), "kernel", big, 0);
    kl_store_get(key_of(9), "kernel", &bytes, &size);
    ck_assert(bytes && size == 0);
    kl_free(bytes, size);
    kl_store_trim(0);
    ck_assert_uint_eq(kl_alloc_live(), before);
    free(big);
}
END_TEST

/* ---- folders that do not do ---- */

static void works_in_memory(void)
{
    put(3);
    ck_assert_int_eq(got(3), 1);
    kl_store_forget(0);
    ck_assert_int_eq(got(3), 0);
    ck_assert(!kl_failed());
}

START_TEST(test_no_folder)
{
    static const char *const paths[] = {"", "/dev/null", "/dev/null/kiln",
                                        "/proc/kiln/cache"};
    setenv("KILN_CACHE", paths[_i], 1);
    ck_assert_str_eq(kl_store_folder(), "");
    works_in_memory();
}
END_TEST

START_TEST(test_default_folder)
{
    char want[400], parent[400];
    begin(NULL);
    unsetenv("KILN_CACHE");
    setenv(_i ? "XDG_CACHE_HOME" : "HOME", folder, 1);
    if (!_i)
        setenv("XDG_CACHE_HOME", "relative/is/ignored", 1);
    path_in(_i ? "kiln" : ".cache/kiln", want);
    ck_assert_str_eq(kl_store_folder(), want);
    struct stat st;
    ck_assert(stat(want, &st) == 0 && (st.st_mode & 0777) == 0700);
    rmdir(want);
    path_in(".cache", parent);
    rmdir(parent);
    end();
}
END_TEST

START_TEST(test_open_folder)
{
    begin(NULL);
    chmod(folder, 0777);
    ck_assert_str_eq(kl_store_folder(), "");
    works_in_memory();
    end();
}
END_TEST

START_TEST(test_others_folder)
{
    begin(NULL);
    if (geteuid() == 0) { /* only root can give a folder away */
        ck_assert_int_eq(chown(folder, 12345, 12345), 0);
        ck_assert_str_eq(kl_store_folder(), "");
        works_in_memory();
    }
    end();
}
END_TEST

START_TEST(test_removed_folder)
{
    begin(NULL);
    put(3);
    end();
    put(4);
    kl_store_forget(0);
    ck_assert_int_eq(got(3), 0);
    ck_assert_int_eq(got(4), 1);
    end();
}
END_TEST

/* A disk that takes 500 bytes of a file: the rest is an error, and nothing half-written
 * stays. */
START_TEST(test_full)
{
    char err[400], line[512];
    begin(NULL);
    setenv("KILN_DEBUG", "1", 1);
    path_in("stderr", err);
    ck_assert_ptr_nonnull(freopen(err, "w", stderr));
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, few;
    getrlimit(RLIMIT_FSIZE, &old);
    few = old;
    few.rlim_cur = 500;
    setrlimit(RLIMIT_FSIZE, &few);
    put(50); /* 1850 bytes */
    put(51);
    setrlimit(RLIMIT_FSIZE, &old);
    ck_assert_int_eq(each(NULL), 1);
    ck_assert_int_eq(got(50), 1);
    kl_store_forget(0);
    ck_assert_int_eq(got(50), 0);
    fflush(stderr);
    FILE *f = fopen(err, "r");
    int said = 0;
    while (fgets(line, sizeof line, f))
        said += strstr(line, "cannot be written") && strstr(line, "File too large");
    fclose(f);
    ck_assert_int_eq(said, 1);
    end();
}
END_TEST

START_TEST(test_no_memory)
{
    begin(NULL);
    put(3);
    kl_store_forget(0);
    size_t before = kl_alloc_live();
    for (int n = 0; n < 4; n++) {
        kl_alloc_fail_at(n);
        put(4);
        int there = got(3);
        kl_alloc_fail_at(-1);
        ck_assert(there == 1 || kl_error_status() == KL_ERR_OOM || there == 0);
        kl_error_clear();
        kl_store_forget(0);
        ck_assert_uint_eq(kl_alloc_live(), before);
    }
    ck_assert_int_eq(got(3), 1);
    kl_alloc_fail_at(0); /* in memory now, but no memory for a copy */
    ck_assert_int_eq(got(3), -1);
    kl_alloc_fail_at(-1);
    ck_assert_int_eq(kl_error_status(), KL_ERR_OOM);
    kl_error_clear();
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store");
    TCase *tc = tcase_create("store");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_put_get);
    tcase_add_test(tc, test_other_process);
    tcase_add_test(tc, test_threads);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_swapped);
    tcase_add_test(tc, test_foreign);
    tcase_add_test(tc, test_cap);
    tcase_add_test(tc, test_build);
    tcase_add_test(tc, test_least_recently_used);
    tcase_add_test(tc, test_memory_cap);
    tcase_add_loop_test(tc, test_no_folder, 0, 4);
    tcase_add_loop_test(tc, test_default_folder, 0, 2);
    tcase_add_test(tc, test_open_folder);
    tcase_add_test(tc, test_others_folder);
    tcase_add_test(tc, test_removed_folder);
    tcase_add_test(tc, test_full);
    tcase_add_test(tc, test_no_memory);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_FORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
