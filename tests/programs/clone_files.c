/* In a directory: gives a file the content of another (ioctl_ficlonerange(2)) while both are mapped. Where the filesystem shares no
   blocks, all that is seen is the refusal. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static char *map(int file) {
    return mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
}

static void ask(const char *what, int file, unsigned long request, unsigned long argument) {
    errno = 0;
    int answer = ioctl(file, request, argument);
    printf("%s: %d %s\n", what, answer, strerror(errno));
}

int main(int count, char **arguments) {
    if (count != 2 || chdir(arguments[1]) < 0)
        return 1;
    int from = open("from", O_RDWR | O_CREAT | O_TRUNC, 0600), to = open("to", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (ftruncate(from, 8192) < 0 || ftruncate(to, 8192) < 0)
        return 1;
    char *source = map(from), *target = map(to), read_back[32];
    strcpy(source, "stored through a map");
    strcpy(target, "old");
    strcpy(target + 4096, "old second page");
    ask("all of it", to, FICLONE, from);
    printf("the map: %s, %s\n", target, target + 4096);
    if (pread(to, read_back, sizeof read_back, 0) > 0)
        printf("read: %s\n", read_back);
    strcpy(source + 4096, "the second page");
    struct file_clone_range range = {from, 4096, 4096, 0};
    ask("a range", to, FICLONERANGE, (unsigned long)&range);
    printf("the map: %s, %s\n", target, target + 4096);
    ask("of no file", to, FICLONE, 99);
    ask("of nowhere", to, FICLONERANGE, 8);
    ask("to no file, of nowhere", 98, FICLONERANGE, 8);
    return 0;
}
