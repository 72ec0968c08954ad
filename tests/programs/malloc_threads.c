/* Four threads that allocate, hand blocks to each other and free them. */
#include <pthread.h>
#include <stdlib.h>

static void *slots[64];

static void *work(void *seed) {
    unsigned long state = (unsigned long)seed;
    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005ul + 1442695040888963407ul;
        void *mine = malloc(1 + (state >> 33) % 300);
        if (i % 3 == 0) mine = realloc(mine, 1 + (state >> 40) % 900);
        free(__atomic_exchange_n(&slots[(state >> 50) % 64], mine, __ATOMIC_ACQ_REL));
    }
    return 0;
}

int main(void) {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], 0, work, (void *)(i + 1));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
}
