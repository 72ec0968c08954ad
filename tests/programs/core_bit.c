/* Children die of SIGABRT under different limits; what wait says of each, and whether there is a core file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void dies(const char *how, rlim_t limit, int dumpable, int signal)
{
    struct rlimit core = { limit, RLIM_INFINITY };
    int status;

    fflush(stdout);
    if (fork() == 0) {
        setrlimit(RLIMIT_CORE, &core);
        prctl(PR_SET_DUMPABLE, dumpable);
        raise(signal);
        _exit(1);
    }
    wait(&status);
    printf("%s: signal %d, core bit %d, file %d\n", how, WTERMSIG(status), !!WCOREDUMP(status), !access("core", F_OK));
    unlink("core");
}

int main(void)
{
    dies("no limit", RLIM_INFINITY, 1, SIGABRT);
    dies("limit 0", 0, 1, SIGABRT);
    dies("limit below a page", 4095, 1, SIGABRT);
    dies("limit of 64 KiB", 65536, 1, SIGQUIT);
    dies("not dumpable", RLIM_INFINITY, 0, SIGABRT);
    dies("a signal without core", RLIM_INFINITY, 1, SIGTERM);
    mkdir("core", 0700);
    dies("a directory in its place", RLIM_INFINITY, 1, SIGABRT);
    rmdir("core");
    if (symlink("precious", "core") != 0)
        perror("symlink");
    dies("a link in its place", RLIM_INFINITY, 1, SIGABRT);
    printf("behind the link: file %d\n", !access("precious", F_OK));
    return 0;
}
