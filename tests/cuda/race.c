/* race.c: finds two accesses of one byte with nothing between that orders them.
 *
 * A record is a thread of a block between two barriers: (block, thread, epoch, warp
 * epoch). Each byte has a cell of two record numbers: who wrote it last, who read it
 * last.
 *
 *   cell   |many blocks|many warps|many lanes|  reader:29  |  0  |atomic|0|  writer:29  |
 *
 * many: others than the last reader read it too, in its launch; in its block's epoch; in
 * its warp's.
 *
 * Two accesses are ordered if they are of one thread, of one block in different epochs (a
 * __syncthreads was between), or of one warp in different warp epochs (a __syncwarp was).
 * If not, and one is a write, and not both are atomic, it is a race, whatever order the
 * fibers ran in. Records grow through the process; those older than the launch are of
 * earlier work. */
#include "machine.h"

#include <stdlib.h>

#define ATOMIC (1u << 30)
#define MANY_LANES (1u << 29)
#define MANY_WARPS (1u << 30)
#define MANY_BLOCKS (1u << 31)
#define NUMBER ((1u << 29) - 1)

typedef struct record {
    uint32_t block, epoch;
    uint16_t thread, warp_epoch;
} record;

static record *records;
static uint32_t base = 1, count, capacity, current_block;

void race_launch(void)
{
    base += count;
    count = 0;
    if (base > NUMBER / 2)
        abort(); /* a quarter of a billion records: no test is that long */
}

void race_block(unsigned block)
{
    current_block = block;
}

uint32_t race_record(unsigned thread, unsigned epoch, unsigned warp_epoch)
{
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 4096;
        records = realloc(records, capacity * sizeof *records);
        if (!records)
            abort();
    }
    records[count] =
        (record){current_block, epoch, (uint16_t)thread, (uint16_t)warp_epoch};
    return base + count++;
}

static const record *find(uint32_t number)
{
    number &= NUMBER;
    return number >= base ? &records[number - base] : NULL;
}

static bool same_warp(const record *a, const record *b)
{
    return a->thread / 32 == b->thread / 32;
}

static bool ordered(const record *a, const record *b)
{
    if (a->block != b->block)
        return false;
    if (a->thread == b->thread || a->epoch != b->epoch)
        return true;
    return same_warp(a, b) && a->warp_epoch != b->warp_epoch;
}

static bool report(const record *other, const record *me, bool wrote, race_report *out)
{
    *out = (race_report){wrote, other->block != me->block, other->block, other->thread};
    return true;
}

/* The last reader's record with what is to be remembered of those before. */
static uint32_t add_reader(uint32_t cell, const record *me, uint32_t mine)
{
    const record *last = find(cell);
    if (!last)
        return mine;
    uint32_t many = cell & (MANY_LANES | MANY_WARPS | MANY_BLOCKS);
    if (last->block != me->block)
        many |= MANY_BLOCKS;
    else if (last->epoch != me->epoch)
        many &= ~(MANY_LANES | MANY_WARPS);
    else if (!same_warp(last, me))
        many |= MANY_WARPS;
    else if (last->warp_epoch != me->warp_epoch)
        many &= ~MANY_LANES;
    else if (last->thread != me->thread)
        many |= MANY_LANES;
    return mine | many;
}

static bool read_races(uint32_t cell, const record *me, race_report *out)
{
    const record *last = find(cell);
    if (!last)
        return false;
    bool epoch = last->epoch == me->epoch;
    bool warp_epoch = epoch && same_warp(last, me) && last->warp_epoch == me->warp_epoch;
    bool races = (cell & MANY_BLOCKS) || !ordered(last, me) ||
                 ((cell & MANY_WARPS) && epoch) || ((cell & MANY_LANES) && warp_epoch);
    return races && report(last, me, false, out);
}

static bool touch(uint64_t *cell, int kind, uint32_t mine, race_report *out)
{
    uint32_t writer = (uint32_t)*cell, reader = (uint32_t)(*cell >> 32);
    const record *me = find(mine), *last = find(writer);
    bool both_atomic = kind == KL_ATOMIC && (writer & ATOMIC);
    if (last && !both_atomic && !ordered(last, me))
        return report(last, me, true, out);
    if (kind == KL_READ) {
        reader = add_reader(reader, me, mine);
    } else {
        if (read_races(reader, me, out))
            return true;
        writer = mine | (kind == KL_ATOMIC ? ATOMIC : 0);
    }
    *cell = (uint64_t)reader << 32 | writer;
    return false;
}

bool race_touch(uint64_t *cells, size_t n, int kind, uint32_t mine, race_report *out)
{
    for (size_t i = 0; i < n; i++)
        if (touch(&cells[i], kind, mine, out))
            return true;
    return false;
}
