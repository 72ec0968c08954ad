/* The own memory map, by somebody else's eyes, before and after 100 MiB of anonymous memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BYTES = 100 << 20 };

static int show(const char *title)
{
    char command[64];

    /* While system(3) starts the shell, its stack is an area of this process: let it go first. */
    printf("*** %s ***\n", title);
    fflush(stdout);
    snprintf(command, sizeof command, "sleep 0.1; cat /proc/%d/maps", (int)getpid());
    return system(command);
}

int main(void)
{
    if (show("before") != 0)
        return 1;
    if (mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    return show("after") != 0;
}
