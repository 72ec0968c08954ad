// Sorts three million integers through a callback: indirect calls, and loads that miss.
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 3000000 };

static int ascending(const void *left, const void *right) {
    int l = *(const int *)left, r = *(const int *)right;
    return (l > r) - (l < r);
}

int main(void) {
    int *numbers = malloc(COUNT * sizeof *numbers);
    unsigned state = 1;
    for (int i = 0; i < COUNT; i++) {
        state = state * 1664525u + 1013904223u;
        numbers[i] = (int)(state >> 1);
    }
    qsort(numbers, COUNT, sizeof *numbers, ascending);
    unsigned sum = 0;
    for (int i = 0; i < COUNT; i++) sum = sum * 31 + (unsigned)numbers[i];
    printf("%u\n", sum);
    free(numbers);
}
