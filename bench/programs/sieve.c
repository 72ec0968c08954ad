// Eratosthenes' sieve, then the longest Collatz chain: byte stores with a stride, and a loop in registers.
#include <stdio.h>
#include <stdlib.h>

enum { LIMIT = 10000000, CHAINS = 700000 };

int main(void) {
    unsigned char *composite = calloc(LIMIT + 1, 1);
    int primes = 0;
    for (int i = 2; i <= LIMIT; i++) {
        if (composite[i]) continue;
        primes++;
        for (long j = (long)i * i; j <= LIMIT; j += i) composite[j] = 1;
    }
    int longest = 0, start = 0;
    for (int i = 1; i < CHAINS; i++) {
        int length = 1;
        for (unsigned long n = (unsigned long)i; n != 1; length++) n = n & 1 ? 3 * n + 1 : n / 2;
        if (length > longest) {
            longest = length;
            start = i;
        }
    }
    printf("%d primes, longest chain %d from %d\n", primes, longest, start);
    free(composite);
}
