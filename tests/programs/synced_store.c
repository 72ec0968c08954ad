/* A store to a shared mapping, then fsync, a word on standard output, and nothing more: ./synced_store FILE */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    int file = count == 2 ? open(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    char *map;

    if (file < 0 || write(file, "before", 6) != 6)
        return 1;
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        return 1;
    memcpy(map, "stored", 6);
    if (fsync(file) != 0 || write(1, "synced\n", 7) != 7)
        return 1;
    pause();
}
