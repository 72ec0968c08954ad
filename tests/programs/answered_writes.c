/* Writes numbered lines into a file, and each number to stdout once its write has been answered: ./answered_writes FILE */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    int file = open(arguments[count - 1], O_RDWR | O_CREAT | O_TRUNC, 0644);
    char line[32];

    /* The file is mapped too, so that its pages are in the page cache of the machine. */
    if (ftruncate(file, 0) != 0 || mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED)
        return 1;
    for (long i = 1;; i++) {
        snprintf(line, sizeof line, "line %ld\n", i);
        if (write(file, line, strlen(line)) != (ssize_t)strlen(line))
            return 1;
        snprintf(line, sizeof line, "%ld\n", i);
        if (write(1, line, strlen(line)) < 0)
            return 1;
    }
}
