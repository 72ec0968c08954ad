/* An allocator of one's own, as a shared library, that knows its blocks by a mark, and a program that uses it. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t malloc_usable_size(void *at);

#ifdef LIBRARY
enum { MARK = 0x6d61726b };
static _Alignas(16) char pool[1 << 22];
static size_t used;

void *malloc(size_t bytes) {
    size_t need = (bytes + 31) & ~(size_t)15;
    if (used + need > sizeof pool) return NULL;
    size_t *head = (size_t *)(pool + used);
    used += need;
    head[0] = MARK;
    head[1] = bytes;
    return head + 2;
}
static size_t *head_of(void *at) {
    size_t *head = (size_t *)at - 2;
    if (head[0] != MARK) __builtin_trap();
    return head;
}
size_t malloc_usable_size(void *at) { return at ? head_of(at)[1] : 0; }
void free(void *at) { if (at) head_of(at); }
void *calloc(size_t count, size_t bytes) { return malloc(count * bytes); }
void *realloc(void *old, size_t bytes) {
    void *at = malloc(bytes);
    size_t before = malloc_usable_size(old);
    return old && at ? memcpy(at, old, before < bytes ? before : bytes) : at;
}
#else
int main(void) {
    void *volatile at = malloc(70001);
    if (malloc_usable_size(at) != 70001) abort();
    at = realloc(at, 70002);
    if (malloc_usable_size(at) != 70002) abort();
    free(at);
    puts("its own");
}
#endif
