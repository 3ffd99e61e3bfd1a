/* zip.c: the container under .npz (and PyTorch's files).
 *
 *     [local head | name | bytes] ..  [directory entry | name] ..  [end record]
 *
 * The end record, found from the end, says where the directory is; an entry there says
 * where a member's local head is. Beyond 4 GiB the fields read 0xFFFFFFFF and the true
 * ones are in a "zip64" extra. Members are stored or deflated; nothing is trusted: every
 * place is checked against the file, every size before it is allocated, every member by
 * its CRC. Written members are stored, dated 1980, so that the same arrays give the same
 * file. */
#include "runtime/runtime.h"

#include <zlib.h>

enum {
    LOCAL = 0x04034b50,
    ENTRY = 0x02014b50,
    END = 0x06054b50,
    END64 = 0x06064b50,
    LOCATOR64 = 0x07064b50,
    LOCAL_SIZE = 30,
    ENTRY_SIZE = 46,
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR64_SIZE = 20,
    STORED = 0,
    DEFLATED = 8,
    FLAG_ENCRYPTED = 1,
    FLAG_UTF8 = 0x800,
    DATE_1980 = 33
};
static const uint32_t IN_EXTRA = 0xFFFFFFFF;

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* ---- reading ---- */

typedef struct zip {
    const char *file;
    const uint8_t *p;
    uint64_t size;
    uint64_t dir, dir_size, count;
} zip;

typedef struct member {
    char name[512];
    int method;
    uint32_t crc;
    uint64_t packed, size, local; /* bytes in the file, bytes unpacked, its local head */
} member;

static kl_status bad(const zip *z, uint64_t at, const char *why)
{
    return kl_fail(KL_ERR_PARSE, "%s: byte %llu: %s", z->file, (unsigned long long)at,
                   why);
}

static bool inside(const zip *z, uint64_t at, uint64_t n)
{
    return at <= z->size && n <= z->size - at;
}

/* The end record is the last thing but a comment of at most 65535 bytes. */
static kl_status find_end(zip *z)
{
    uint64_t least = z->size > END_SIZE + 65535 ? z->size - END_SIZE - 65535 : 0;
    uint64_t at = z->size < END_SIZE ? 0 : z->size - END_SIZE + 1;
    while (at-- > least)
        if (get(z->p + at, 4) == END && at + END_SIZE + get(z->p + at + 20, 2) == z->size)
            break;
    if (at + 1 == least || z->size < END_SIZE)
        return bad(z, z->size, "no end of a zip archive: not a zip file, or cut short");
    const uint8_t *e = z->p + at;
    z->count = get(e + 10, 2);
    z->dir_size = get(e + 12, 4);
    z->dir = get(e + 16, 4);
    if (get(e + 4, 2) != 0 && get(e + 4, 2) != 0xFFFF)
        return bad(z, at, "an archive of several files is not read");
    if (at >= LOCATOR64_SIZE && get(e - LOCATOR64_SIZE, 4) == LOCATOR64) {
        uint64_t at64 = get(e - LOCATOR64_SIZE + 8, 8);
        if (!inside(z, at64, END64_SIZE) || get(z->p + at64, 4) != END64)
            return bad(z, at - LOCATOR64_SIZE,
                       "the zip64 end record is not where it should be");
        z->count = get(z->p + at64 + 32, 8);
        z->dir_size = get(z->p + at64 + 40, 8);
        z->dir = get(z->p + at64 + 48, 8);
    }
    if (!inside(z, z->dir, z->dir_size))
        return bad(z, at, "the directory lies outside the file");
    return KL_OK;
}

/* Replace fields that read 0xFFFFFFFF from the zip64 extra, which has only those, in
 * order. */
static bool read_extra(member *m, const uint8_t *p, uint64_t n)
{
    uint64_t *fields[] = {&m->size, &m->packed, &m->local};
    int wanted = 0;
    for (int i = 0; i < 3; i++)
        wanted += *fields[i] == IN_EXTRA;
    while (wanted && n >= 4) {
        uint64_t id = get(p, 2), len = get(p + 2, 2);
        if (len > n - 4)
            return false;
        if (id == 1) {
            const uint8_t *q = p + 4;
            for (int i = 0; i < 3; i++)
                if (*fields[i] == IN_EXTRA) {
                    if ((uint64_t)(q - p) + 4 > len)
                        return false;
                    *fields[i] = get(q, 8);
                    q += 8;
                }
            return true;
        }
        p += 4 + len;
        n -= 4 + len;
    }
    return !wanted;
}

static kl_status read_entry(const zip *z, uint64_t *at, uint64_t end, member *m)
{
    const uint8_t *e = z->p + *at;
    if (end - *at < ENTRY_SIZE || get(e, 4) != ENTRY)
        return bad(z, *at, "not a directory entry");
    uint64_t name = get(e + 28, 2), extra = get(e + 30, 2), comment = get(e + 32, 2);
    if (end - *at - ENTRY_SIZE < name + extra + comment)
        return bad(z, *at, "a directory entry is cut short");
    if (name >= sizeof m->name || memchr(e + ENTRY_SIZE, 0, name))
        return bad(z, *at, "a member's name is longer than 511 bytes or holds a 0");
    memcpy(m->name, e + ENTRY_SIZE, name);
    m->name[name] = 0;
    m->method = (int)get(e + 10, 2);
    m->crc = (uint32_t)get(e + 16, 4);
    m->packed = get(e + 20, 4);
    m->size = get(e + 24, 4);
    m->local = get(e + 42, 4);
    if (!read_extra(m, e + ENTRY_SIZE + name, extra))
        return bad(z, *at, "a bad zip64 extra");
    if (get(e + 8, 2) & FLAG_ENCRYPTED)
        return kl_fail(KL_ERR_UNSUPPORTED, "%s: member '%s' is encrypted", z->file,
                       m->name);
    if (m->method != STORED && m->method != DEFLATED)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: member '%s': compression method %d is not read", z->file,
                       m->name, m->method);
    *at += ENTRY_SIZE + name + extra + comment;
    return KL_OK;
}

/* z_stream counts in 32 bits: feed and drain in pieces. */
static bool inflate_all(const uint8_t *in, uint64_t packed, char *out, uint64_t size)
{
    z_stream s = {0};
    if (inflateInit2(&s, -15) != Z_OK)
        return false;
    const uint64_t piece = 1 << 30;
    uint64_t got = 0;
    int r = Z_OK;
    s.next_in = (Bytef *)in;
    char spare; /* where a stream longer than it says is caught */
    while (r == Z_OK) {
        uint64_t used = (uint64_t)(s.next_in - in);
        s.avail_in = (uInt)KL_MIN(piece, packed - used);
        s.next_out = (Bytef *)(got < size ? out + got : &spare);
        s.avail_out = got < size ? (uInt)KL_MIN(piece, size - got) : 1;
        uInt room = s.avail_out, have = s.avail_in;
        r = inflate(&s, Z_NO_FLUSH);
        got += room - s.avail_out;
        if (got > size || (r == Z_OK && room == s.avail_out && have == s.avail_in))
            break;
    }
    inflateEnd(&s);
    return r == Z_STREAM_END && got == size;
}

static uint32_t crc_of(uint32_t crc, const void *p, uint64_t n)
{
    const Bytef *b = p;
    for (uint64_t piece; n > 0; b += piece, n -= piece) {
        piece = KL_MIN(n, 1u << 30);
        crc = (uint32_t)crc32(crc, b, (uInt)piece);
    }
    return crc;
}

static kl_status member_fail(const zip *z, const member *m, const char *why)
{
    return kl_fail(KL_ERR_PARSE, "%s: member '%s': byte %llu: %s", z->file, m->name,
                   (unsigned long long)m->local, why);
}

static kl_status unpack(const zip *z, const member *m, void **bytes)
{
    if (!inside(z, m->local, LOCAL_SIZE) || get(z->p + m->local, 4) != LOCAL)
        return member_fail(z, m, "no member begins there");
    const uint8_t *l = z->p + m->local;
    uint64_t data = m->local + LOCAL_SIZE + get(l + 26, 2) + get(l + 28, 2);
    if (!inside(z, data, m->packed))
        return member_fail(z, m, "it reaches beyond the file");
    if (m->method == STORED ? m->size != m->packed : m->size / 1040 > m->packed)
        return member_fail(z, m, "its two sizes do not fit together");
    char *p = kl_alloc(m->size);
    if (!p)
        return kl_fail(KL_ERR_OOM, "%s: member '%s': out of memory: %llu bytes", z->file,
                       m->name, (unsigned long long)m->size);
    const char *why = NULL;
    if (m->method == STORED)
        memcpy(p, z->p + data, m->size);
    else if (!inflate_all(z->p + data, m->packed, p, m->size))
        why = "its deflated bytes are damaged";
    if (!why && crc_of(0, p, m->size) != m->crc && !KL_PLANTED(zip_crc))
        why = "its checksum (CRC-32) is wrong";
    if (!why) {
        *bytes = p;
        return KL_OK;
    }
    kl_free(p, m->size);
    return member_fail(z, m, why);
}

kl_status kl_zip_parse(const char *file, const void *bytes, size_t size,
                       kl_zip_visit visit, void *user)
{
    zip z = {.file = file, .p = bytes, .size = size};
    member m;
    void *content = NULL;
    KL_TRY(find_end(&z));
    uint64_t at = z.dir, end = z.dir + z.dir_size;
    for (uint64_t i = 0; i < z.count; i++) {
        KL_TRY(read_entry(&z, &at, end, &m));
        KL_TRY(unpack(&z, &m, &content));
        KL_TRY(visit(user, m.name, content, m.size));
    }
    return at == end ? KL_OK : bad(&z, at, "bytes after the last directory entry");
}

/* ---- writing ---- */

static void put(kl_text *t, uint64_t v, int n)
{
    char b[8];
    for (int i = 0; i < n; i++)
        b[i] = (char)(v >> 8 * i);
    kl_text_putn(t, b, (size_t)n);
}

static uint64_t cap32(uint64_t v)
{
    return KL_MIN(v, IN_EXTRA);
}

static uint64_t flags(const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name > 127)
            return FLAG_UTF8;
    return 0;
}

/* What local head and directory entry share, from "version needed" to the two lengths. */
static void put_facts(kl_text *t, const char *name, uint32_t crc, uint64_t size,
                      uint64_t extra)
{
    put(t, extra ? 45 : 20, 2);
    put(t, flags(name), 2);
    put(t, STORED, 2);
    put(t, 0, 2);
    put(t, DATE_1980, 2);
    put(t, crc, 4);
    put(t, cap32(size), 4);
    put(t, cap32(size), 4);
    put(t, strlen(name), 2);
    put(t, extra, 2);
}

/* The name, and in a zip64 extra those of size, size and place that do not fit in 32
 * bits. */
static void put_name(kl_text *t, const char *name, uint64_t extra, uint64_t size,
                     uint64_t place)
{
    kl_text_put(t, name);
    if (!extra)
        return;
    put(t, 1, 2);
    put(t, extra - 4, 2);
    if (size >= IN_EXTRA) {
        put(t, size, 8);
        put(t, size, 8);
    }
    if (place >= IN_EXTRA)
        put(t, place, 8);
}

static uint64_t extra_size(uint64_t size, uint64_t place)
{
    uint64_t n = (size >= IN_EXTRA ? 16 : 0) + (place >= IN_EXTRA ? 8 : 0);
    return n ? n + 4 : 0;
}

void kl_zip_put(kl_zip_writer *z, const char *name, const void *const *parts,
                const size_t *sizes, int nparts)
{
    uint64_t size = 0, local = z->at, extra;
    uint32_t crc = 0;
    for (int i = 0; i < nparts; i++) {
        size += sizes[i];
        crc = crc_of(crc, parts[i], sizes[i]);
    }
    kl_text head = {0};
    extra = extra_size(size, 0);
    put(&head, LOCAL, 4);
    put_facts(&head, name, crc, size, extra);
    put_name(&head, name, extra, size, 0);
    kl_writer_put(z->out, head.s, head.len);
    for (int i = 0; i < nparts; i++)
        kl_writer_put(z->out, parts[i], sizes[i]);
    z->at += head.len + size;
    z->dir.failed |= head.failed;
    kl_text_free(&head);

    extra = extra_size(size, local);
    put(&z->dir, ENTRY, 4);
    put(&z->dir, extra ? 45 : 20, 2);
    put_facts(&z->dir, name, crc, size, extra);
    put(&z->dir, 0, 6); /* comment, disk, text or not */
    put(&z->dir, 0, 4); /* attributes */
    put(&z->dir, cap32(local), 4);
    put_name(&z->dir, name, extra, size, local);
    z->count++;
}

kl_status kl_zip_end(kl_zip_writer *z)
{
    uint64_t dir = z->at, size = z->dir.len;
    bool big = z->count >= 0xFFFF || dir >= IN_EXTRA || size >= IN_EXTRA;
    kl_text *t = &z->dir;
    if (big) {
        put(t, END64, 4);
        put(t, END64_SIZE - 12, 8);
        put(t, 45, 2);
        put(t, 45, 2);
        put(t, 0, 4);
        put(t, 0, 4);
        put(t, z->count, 8);
        put(t, z->count, 8);
        put(t, size, 8);
        put(t, dir, 8);
        put(t, LOCATOR64, 4);
        put(t, 0, 4);
        put(t, dir + size, 8);
        put(t, 1, 4);
    }
    put(t, END, 4);
    put(t, 0, 4);
    put(t, KL_MIN(z->count, 0xFFFF), 2);
    put(t, KL_MIN(z->count, 0xFFFF), 2);
    put(t, cap32(size), 4);
    put(t, cap32(dir), 4);
    put(t, 0, 2);
    kl_status s =
        t->failed ? kl_fail(KL_ERR_OOM, "out of memory: a zip directory") : KL_OK;
    if (s == KL_OK)
        kl_writer_put(z->out, t->s, t->len);
    kl_text_free(t);
    return s;
}
