/* Programs that are executed are not written to, and programs that are written to are not executed:
 * ./busy_text DIRECTORY. It executes copies of itself there, which wait for the end of their standard input. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char bytes[1 << 20];
static long length;

static void say(const char *what, long answer)
{
    int error = errno;

    printf("%s: %s\n", what, answer >= 0 ? "done" : strerrorname_np(error));
}

static int opened(const char *what, int file)
{
    say(what, file);
    if (file >= 0)
        close(file);
    return file;
}

static void write_out(const char *path, const char *text, long size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);

    if (write(file, text, size) != size)
        say("write", -1);
    close(file);
}

static long size_of(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 ? (long)found.st_size : -1;
}

/* Says how executing a file ends. */
static void execute(const char *what, const char *path)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        execl(path, path, (char *)NULL);
        _exit(errno == ETXTBSY ? 77 : 78);
    }
    waitpid(child, &status, 0);
    printf("%s: %s\n", what, WEXITSTATUS(status) == 77 ? "ETXTBSY" : WEXITSTATUS(status) == 5 ? "ran" : "?");
}

/* Starts a program and waits until it runs; it ends when `*end` is closed. */
static pid_t start(const char *path, int *end)
{
    int in[2], out[2];
    char byte;
    pid_t child;

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return -1;
    if ((child = fork()) == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(path, path, "wait", (char *)NULL);
        _exit(9);
    }
    close(in[0]);
    close(out[1]);
    if (read(out[0], &byte, 1) != 1)
        say("start", -1);
    close(out[0]);
    *end = in[1];
    return child;
}

static void of_what_runs(void)
{
    struct open_how how = { .flags = O_RDWR };
    int end;
    pid_t child;

    write_out("runs", bytes, length);
    if (symlink("runs", "link") < 0 || link("runs", "other") < 0)
        say("link", -1);
    child = start("./runs", &end);
    opened("to write", open("runs", O_WRONLY));
    opened("to read and write", openat(AT_FDCWD, "runs", O_RDWR | O_APPEND));
    opened("openat2", (int)syscall(SYS_openat2, AT_FDCWD, "runs", &how, sizeof how));
    opened("to make", creat("runs", 0755));
    opened("to truncate", open("runs", O_RDONLY | O_TRUNC));
    opened("a link", open("link", O_WRONLY));
    opened("not a link", open("link", O_WRONLY | O_NOFOLLOW));
    opened("another name", open("other", O_WRONLY));
    say("truncate", truncate("runs", 0));
    say("truncate to what is no size", truncate("runs", -1));
    opened("what must be new", open("runs", O_WRONLY | O_CREAT | O_EXCL, 0755));
    opened("a directory", open("runs", O_WRONLY | O_DIRECTORY));
    opened("to read", open("runs", O_RDONLY));
    opened("for nothing", open("runs", O_PATH));
    opened("oneself", open("/proc/self/exe", O_WRONLY));
    say("whether it may be written", access("runs", W_OK));
    printf("it is whole: %d\n", size_of("runs") == length);
    execute("a second time", "./runs");
    say("rename", rename("runs", "renamed"));
    opened("under its new name", open("renamed", O_WRONLY));
    write_out("runs", "other", 5);
    close(end);
    waitpid(child, NULL, 0);
    opened("what ran", open("renamed", O_WRONLY | O_TRUNC));
    printf("it has %ld bytes\n", size_of("other"));
}

static void of_what_is_written(void)
{
    int file, again;
    char *map;

    write_out("written", bytes, length);
    execute("nobody writes", "./written");
    file = open("written", O_RDWR);
    execute("somebody writes", "./written");
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    execute("it is mapped", "./written");
    munmap(map, 4096);
    execute("nobody maps it", "./written");
    again = open("written", O_RDONLY);
    execute("somebody reads", "./written");
    close(again);
    file = memfd_create("program", 0);
    if (write(file, bytes, length) != length)
        say("write", -1);
    else if (fork() == 0) {
        char *const arguments[] = { "program", NULL };

        fexecve(file, arguments, arguments + 1);
        _exit(9);
    } else {
        int status;

        wait(&status);
        printf("a file of memory: %d\n", WEXITSTATUS(status));
    }
}

/* A script may change while it runs, not while it begins. */
static void of_scripts(void)
{
    char text[600];
    int file, end;
    pid_t child;

    write_out("interpreter", bytes, length);
    snprintf(text, sizeof text, "#!./interpreter wait\n");
    write_out("script", text, (long)strlen(text));
    child = start("./script", &end);
    opened("a script", open("script", O_WRONLY));
    opened("its interpreter", open("interpreter", O_WRONLY | O_TRUNC));
    close(end);
    waitpid(child, NULL, 0);
    write_out("script", "#!./interpreter\n", 16);
    file = open("script", O_WRONLY);
    execute("a script that is written", "./script");
    close(file);
    file = open("interpreter", O_WRONLY);
    execute("one whose interpreter is", "./script");
    close(file);
}

int main(int count, char **arguments)
{
    int file;

    if (count > 1 && strcmp(arguments[1], "wait") == 0)
        return write(1, "", 1) != 1 || read(0, bytes, 1) != 0;
    if (count < 2 || strcmp(arguments[1], "./script") == 0)
        return 5;
    setvbuf(stdout, NULL, _IONBF, 0);
    file = open("/proc/self/exe", O_RDONLY);
    length = read(file, bytes, sizeof bytes);
    close(file);
    if (length <= 0 || chdir(arguments[1]) < 0)
        return 1;
    of_what_runs();
    of_what_is_written();
    of_scripts();
    return 0;
}
