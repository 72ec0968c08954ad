/* The peer of gcbench.rs: the same three workloads on libgc. Prints seconds and the largest heap in bytes. */
#include <gc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct node {
    struct node *left, *right;
    int i, j;
};

static struct node *leaf(void) { return GC_MALLOC(sizeof(struct node)); }

static void populate(int depth, struct node *node) {
    if (depth <= 0) return;
    node->left = leaf();
    node->right = leaf();
    populate(depth - 1, node->left);
    populate(depth - 1, node->right);
}

static struct node *make(int depth) {
    struct node *node;
    if (depth <= 0) return leaf();
    struct node *left = make(depth - 1), *right = make(depth - 1);
    node = leaf();
    node->left = left;
    node->right = right;
    return node;
}

static void gcbench(void) {
    make(18);
    struct node *kept = leaf();
    populate(16, kept);
    double *array = GC_MALLOC_ATOMIC(500000 * sizeof(double));
    for (int i = 1; i < 250000; i++) array[i] = 1.0 / i;
    for (int depth = 4; depth <= 16; depth += 2) {
        int times = 2 * ((1 << 19) - 1) / ((1 << (depth + 1)) - 1);
        for (int i = 0; i < times; i++) populate(depth, leaf());
        for (int i = 0; i < times; i++) make(depth);
    }
    if (!kept->left || array[1000] != 1.0 / 1000) abort();
}

static uint64_t state = 1;
static uint64_t below(uint64_t end) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % end;
}

static void graph(void) {
    enum { NODES = 500000, EDGES = 4 };
    void ***nodes = GC_MALLOC(NODES * sizeof(void *));
    for (int i = 0; i < NODES; i++) nodes[i] = GC_MALLOC(EDGES * sizeof(void *));
    for (int i = 0; i < NODES; i++)
        for (int edge = 0; edge < EDGES; edge++) nodes[i][edge] = nodes[below(NODES)];
    for (int i = 0; i < 8; i++) GC_gcollect();
}

static void small(void) {
    void *volatile last = 0;
    for (int i = 0; i < 20000000; i++) last = GC_MALLOC(16);
    (void)last;
}

int main(int argc, char **argv) {
    struct timespec from, to;
    GC_INIT();
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (!strcmp(argv[argc - 1], "gcbench")) gcbench();
    else if (!strcmp(argv[argc - 1], "graph")) graph();
    else small();
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%.6f %zu\n", to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9, GC_get_heap_size());
}
