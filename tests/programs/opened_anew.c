/* Each way to open a file and truncate it: what a shared map of it shows afterwards: ./opened_anew DIRECTORY */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BYTES = 100 };

static int with_open(const char *path) { return open(path, O_RDWR | O_TRUNC); }
static int with_open_call(const char *path) { return (int)syscall(SYS_open, path, O_RDWR | O_TRUNC, 0); }
static int with_creat(const char *path) { return (int)syscall(SYS_creat, path, 0600); }

static int with_openat2(const char *path)
{
    struct open_how how = { .flags = O_RDWR | O_TRUNC };

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static void opened(const char *what, int (*opens)(const char *))
{
    char text[BYTES];
    int file = open("anew", O_RDWR | O_CREAT | O_TRUNC, 0600), again;
    volatile char *map;

    memset(text, 'X', BYTES);
    if (write(file, text, BYTES) != BYTES)
        return;
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    printf("%s: %d %d", what, map[0], map[50]);
    again = opens("anew");
    if (write(again, "abc", 3) != 3)
        return;
    printf(", then %d %d\n", map[0], map[50]);
    close(again);
    munmap((void *)map, 4096);
    close(file);
}

int main(int count, char **arguments)
{
    if (count != 2 || chdir(arguments[1]) != 0)
        return 2;
    opened("openat", with_open);
    opened("open", with_open_call);
    opened("creat", with_creat);
    opened("openat2", with_openat2);
    unlink("anew");
    return 0;
}
