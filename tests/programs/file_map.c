/* A short file, mapped shared: changed without write(2), and SIGBUS beyond its last page. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void print_file(const char *path)
{
    char text[64];
    int file = open(path, O_RDONLY);
    ssize_t got = read(file, text, sizeof text);

    close(file);
    printf("the file says: %.*s\n", (int)got, text);
}

static void print_map_line(const char *path)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long start, end;
    char perms[8], offset[32];

    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (strstr(line, path) != NULL && sscanf(line, "%lx-%lx %7s %31s", &start, &end, perms, offset) == 4)
            printf("mapped: %lu bytes %s at offset %s\n", end - start, perms, offset);
    }
    if (maps != NULL)
        fclose(maps);
}

static void touch_in_child(const char *what, volatile char *at)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        *at = 1;
        _exit(0);
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("%s: %s\n", what, strsignal(WTERMSIG(status)));
    else
        printf("%s: fine\n", what);
}

int main(int count, char **arguments)
{
    const char *path = count > 1 ? arguments[1] : "testfile";
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *map;

    if (file < 0 || write(file, "hello", 5) != 5) {
        perror(path);
        return 1;
    }
    map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    close(file);
    print_file(path);
    print_map_line(path);
    memcpy(map, "HELLO", 5);
    print_file(path);
    touch_in_child("after the end, in the last page", map + 100);
    touch_in_child("beyond the last page", map + PAGE);
    return 0;
}
