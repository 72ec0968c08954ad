// Allocates and frees six million blocks of mixed sizes: short calls, pointer chasing, branches.
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 6000000, LIVE = 1024 };

int main(void) {
    static unsigned char *live[LIVE];
    unsigned state = 7, sum = 0;
    for (int i = 0; i < COUNT; i++) {
        state = state * 1664525u + 1013904223u;
        unsigned slot = state >> 22;
        if (live[slot]) sum += live[slot][0];
        free(live[slot]);
        live[slot] = malloc(16 + (state >> 8) % 240);
        live[slot][0] = (unsigned char)i;
    }
    printf("%u\n", sum);
}
