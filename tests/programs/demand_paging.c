/* 100 MiB of anonymous memory, touched in several ways: what each costs in faults, residence and page tables. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "sample.h"

enum { PAGE = 4096 };
#define MIB (1L << 20)
#define BYTES (100 * MIB)
/* Where it is mapped: aligned, with room behind, so that the number of leaf tables is known. */
#define PLACE ((char *)0x10000000000)

static volatile char sink;

static void write_pages(char *start, long bytes)
{
    for (long i = 0; i < bytes; i += PAGE)
        *(volatile char *)(start + i) = 1;
}

static void read_pages(char *start, long bytes)
{
    for (long i = 0; i < bytes; i += PAGE)
        sink = *(volatile char *)(start + i);
}

static char *map(int flags)
{
    char *area = mmap(PLACE, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);

    if (area == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    madvise(area, BYTES, MADV_NOHUGEPAGE);
    return area;
}

static void step_by_step(char *area)
{
    for (long done = 0; done < BYTES; done += 10 * MIB) {
        struct sample before = sample(area), after;

        write_pages(area + done, 10 * MIB);
        after = sample(area);
        sample_print("touch 10 MiB", before, after);
        printf("page tables %+ld kB\n", after.tables_kb - before.tables_kb);
    }
}

static void rows(void)
{
    char *area = map(0);
    struct sample before = sample(area);

    read_pages(area, BYTES);
    sample_print("read each page", before, sample(area));
    before = sample(area);
    write_pages(area, BYTES);
    sample_print("then write each page", before, sample(area));
    before = sample(area);
    write_pages(area, BYTES);
    sample_print("write again", before, sample(area));
    madvise(area, BYTES, MADV_DONTNEED);
    sample_print("give it back", before, sample(area));
    before = sample(area);
    write_pages(area, BYTES);
    sample_print("write after that", before, sample(area));

    map(0);
    before = sample(area);
    madvise(area, BYTES, MADV_POPULATE_WRITE);
    sample_print("populate", before, sample(area));
    before = sample(area);
    write_pages(area, BYTES);
    sample_print("write what is populated", before, sample(area));
}

int main(void)
{
    char *area = map(0);
    char *neighbour = mmap(PLACE + 256 * MIB, PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    write_pages(neighbour, PAGE); /* the upper tables are there now */
    sample_warm_up(area);
    step_by_step(area);
    rows();
    return 0;
}
