/* Every function that allocates, each with sizes of its own, the first before main. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *early;
__attribute__((constructor)) static void before_main(void) { early = malloc(10101); }

static void *fill(void *at, size_t bytes) {
    if (!at || malloc_usable_size(at) < bytes) abort();
    return memset(at, 0x5a, bytes);
}

int main(void) {
    void *blocks[8], *aligned;
    blocks[0] = calloc(3, 10001);
    blocks[1] = fill(malloc(10002), 10002);
    blocks[1] = fill(realloc(blocks[1], 20002), 20002);
    blocks[1] = realloc(blocks[1], 5002);
    void *gone = realloc(NULL, 10003);
    if (realloc(gone, 0)) abort();
    if (posix_memalign(&aligned, 64, 10004) || (uintptr_t)aligned % 64) abort();
    blocks[2] = fill(aligned, 10004);
    blocks[3] = fill(aligned_alloc(128, 10240), 10240);
    blocks[4] = fill(memalign(256, 10006), 10006);
    blocks[5] = fill(valloc(10007), 10007);
    blocks[6] = fill(pvalloc(10008), 10008);
    blocks[7] = fill(reallocarray(NULL, 7, 1501), 7 * 1501);

    /* What is refused is no operation, and leaves errno and the block alone. */
    volatile size_t huge = PTRDIFF_MAX, three = 3;
    errno = 0;
    if (malloc(huge) || errno != ENOMEM) abort();
    errno = 0;
    if (reallocarray(blocks[7], huge, three) || errno != ENOMEM) abort();
    if (realloc(blocks[7], huge) || calloc(huge, three)) abort();
    if (posix_memalign(&aligned, three, 10009) != EINVAL) abort();
    errno = 77;
    free(NULL);
    free(early);
    if (errno != 77) abort();
    for (int i = 0; i < 8; i++) free(blocks[i]);
    puts("fine");
}
