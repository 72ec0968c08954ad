/* A parent's blocks in a child that does not exec, forked by the library and behind its back, and after vfork. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    void *volatile blocks[10];
    for (int i = 0; i < 10; i++) blocks[i] = malloc(20000 + i);
    if (fork() == 0) {
        unsetenv("PAGEWALK_HEAP_LOG");
        free(blocks[3]);
        blocks[0] = malloc(30000);
        if (fork() == 0) {
            blocks[1] = malloc(31000);
            _exit(0);
        }
        wait(NULL);
        blocks[1] = malloc(32000);
        _exit(0);
    }
    wait(NULL);
    free(blocks[4]);
    blocks[4] = malloc(40000);
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
        blocks[0] = malloc(50000);
        _exit(0);
    }
    wait(NULL);
    if (vfork() == 0) _exit(0);
    wait(NULL);
    blocks[4] = malloc(60000);
    return 0;
}
