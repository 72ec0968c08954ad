/* Code that a string instruction copied to its place and that an ordinary store patches is executed as it is now. */
#include <stdio.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096, ROUNDS = 100 };

/* mov eax, 1; ret */
static const unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3};

static void copy(unsigned char *to, const unsigned char *from, unsigned long bytes) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

int main(void) {
    int stale = 0;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return 1;
        copy(page, code, sizeof code);
        int (*call)(void) = (int (*)(void))page;
        int before = call();
        *(volatile unsigned char *)(page + 1) = 2;
        if (before != 1 || call() != 2)
            stale++;
        munmap(page, PAGE_BYTES);
    }
    printf("%d stale\n", stale);
    return 0;
}
