/* 100 MiB, shared by fork and then written to by the child, and by the parent when the child is gone. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>
#include "sample.h"

enum { PAGE = 4096 };
#define BYTES (100L << 20)
#define PLACE ((char *)0x10000000000)

static void write_pages(char *start, char value)
{
    for (long i = 0; i < BYTES; i += PAGE)
        *(volatile char *)(start + i) = value;
}

static void child(char *area)
{
    struct sample before;

    sample_warm_up(area);
    before = sample(area);
    write_pages(area, 2);
    sample_print("child writes", before, sample(area));
    before = sample(area);
    write_pages(area, 3);
    sample_print("child writes again", before, sample(area));
}

int main(void)
{
    struct sample before;
    int status;
    pid_t pid;
    char *area = mmap(PLACE, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (area == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    madvise(area, BYTES, MADV_NOHUGEPAGE);
    sample_warm_up(area);
    before = sample(area);
    write_pages(area, 1);
    sample_print("parent writes", before, sample(area));
    pid = fork();
    if (pid == 0) {
        child(area);
        _exit(area[0] == 3 && area[BYTES - PAGE] == 3 ? 0 : 1);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        printf("child: status %#x\n", status);
        return 1;
    }
    printf("parent still reads %d\n", area[0]);
    sample_warm_up(area);
    before = sample(area);
    write_pages(area, 4);
    sample_print("parent writes after the child exited", before, sample(area));
    return 0;
}
