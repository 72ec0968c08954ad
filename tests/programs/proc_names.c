/* Every way to a name under /proc leads to the program itself, and behaves as Linux's. Prints no number that differs
 * between two runs, so that the transcript is the same natively and under pagewalk. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, int is_right)
{
    printf("%s: %s\n", what, is_right ? "yes" : "NO");
}

static void fails(const char *what, long answer)
{
    printf("%s: %s\n", what, answer >= 0 ? "works" : strerrorname_np(errno));
}

/* Whether a descriptor reads the line of our own stat; closes it. */
static int is_own_stat(int descriptor)
{
    char text[512] = "";
    if (descriptor < 0 || read(descriptor, text, sizeof text - 1) <= 0)
        return 0;
    close(descriptor);
    return atoi(text) == getpid();
}

static int reads(const char *path, char *to, size_t bytes)
{
    int file = open(path, O_RDONLY);
    ssize_t done = file < 0 ? -1 : read(file, to, bytes - 1);
    if (file >= 0)
        close(file);
    to[done < 0 ? 0 : done] = 0;
    return done >= 0;
}

static void paths(void)
{
    char own[64], at[256], text[4096];
    snprintf(own, sizeof own, "/proc/%d", getpid());
    say("absolute", is_own_stat(open("/proc/self/stat", O_RDONLY)));
    snprintf(at, sizeof at, "%s/stat", own);
    say("by number", is_own_stat(open(at, O_RDONLY)));
    say("of the thread", is_own_stat(open("/proc/thread-self/stat", O_RDONLY)));
    say("untidy", is_own_stat(open("//proc/./self/../self//stat", O_RDONLY)));
    say("through another place", is_own_stat(open("/usr/../proc/self/stat", O_RDONLY)));
    say("through the root link", is_own_stat(open("/proc/self/root/proc/self/stat", O_RDONLY)));
    int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
    say("relative to a directory", is_own_stat(openat(directory, "stat", O_RDONLY)));
    say("up from a directory", is_own_stat(openat(directory, "../self/task/../stat", O_RDONLY)));
    int root = open("/", O_PATH | O_DIRECTORY);
    say("relative to the root", is_own_stat(openat(root, "proc/self/stat", O_RDONLY)));
    say("chdir to the root", chdir("/") == 0 && is_own_stat(open("proc/self/stat", O_RDONLY)));
    say("chdir", chdir("/proc/self") == 0 && is_own_stat(open("stat", O_RDONLY)));
    say("getcwd", getcwd(text, sizeof text) && strcmp(text, own) == 0);
    say("chdir up", chdir("..") == 0 && getcwd(text, sizeof text) && strcmp(text, "/proc") == 0);
    say("relative", is_own_stat(open("self/stat", O_RDONLY)));
    say("a file of the machine", access("sys/kernel/osrelease", R_OK) == 0);
    say("fchdir", fchdir(directory) == 0 && is_own_stat(open("stat", O_RDONLY)));
    say("the link of it", readlink("cwd", text, sizeof text) == (ssize_t)strlen(own));
    say("out of it", access("../../etc/passwd", R_OK) == 0);
    say("and away", chdir("/tmp") == 0 && access("stat", F_OK) == -1);
    unlink("/tmp/proc_names.link");
    say("through a link", symlink("/proc/self/stat", "/tmp/proc_names.link") == 0 &&
                              is_own_stat(open("/tmp/proc_names.link", O_RDONLY)));
    unlink("/tmp/proc_names.link");
    close(directory);
}

static void links(void)
{
    char text[4096], expected[64];
    snprintf(expected, sizeof expected, "%d", getpid());
    memset(text, 0, sizeof text);
    say("self", readlink("/proc/self", text, sizeof text) > 0 && strcmp(text, expected) == 0);
    snprintf(expected, sizeof expected, "%d/task/%ld", getpid(), (long)syscall(SYS_gettid));
    memset(text, 0, sizeof text);
    say("thread-self", readlink("/proc/thread-self", text, sizeof text) > 0 && strcmp(text, expected) == 0);
    memset(text, 0, sizeof text);
    say("root", readlink("/proc/self/root", text, sizeof text) == 1 && text[0] == '/');
    memset(text, 0, sizeof text);
    say("exe", readlink("/proc/self/exe", text, sizeof text) > 0 && strstr(text, "proc_names"));
    int maps = open("/proc/self/maps", O_RDONLY);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", maps);
    snprintf(expected, sizeof expected, "/proc/%d/maps", getpid());
    memset(text, 0, sizeof text);
    say("a descriptor of /proc", readlink(link, text, sizeof text) > 0 && strcmp(text, expected) == 0);
    int null = open("/dev/null", O_RDWR);
    snprintf(link, sizeof link, "/dev/fd/%d", null);
    memset(text, 0, sizeof text);
    say("a descriptor", readlink(link, text, sizeof text) > 0 && strcmp(text, "/dev/null") == 0);
    int again = open(link, O_WRONLY);
    say("opened anew", again >= 0 && write(again, "x", 1) == 1);
    fails("not followed", open("/proc/self", O_RDONLY | O_NOFOLLOW));
    struct stat status;
    say("a link", lstat("/proc/self", &status) == 0 && S_ISLNK(status.st_mode));
    say("followed", stat("/proc/self", &status) == 0 && S_ISDIR(status.st_mode));
}

static void attributes(void)
{
    struct stat status;
    struct statfs filesystem;
    int maps = open("/proc/self/maps", O_RDONLY), directory = open("/proc/self/fd", O_RDONLY);
    say("a file", fstat(maps, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0);
    say("read-only", (status.st_mode & 0777) == 0444);
    say("a directory", fstat(directory, &status) == 0 && S_ISDIR(status.st_mode));
    say("of procfs", fstatfs(maps, &filesystem) == 0 && filesystem.f_type == 0x9fa0);
    say("and by name", statfs("/proc/self", &filesystem) == 0 && filesystem.f_type == 0x9fa0);
    struct statx large;
    say("statx", statx(AT_FDCWD, "/proc/self/comm", 0, STATX_ALL, &large) == 0 && (large.stx_mode & 0777) == 0644);
    say("statx of a descriptor",
        statx(directory, "", AT_EMPTY_PATH, STATX_ALL, &large) == 0 && S_ISDIR(large.stx_mode));
    fails("read a directory", read(directory, &status, 1));
    fails("write a file", write(maps, "", 1));
    fails("write to a directory", open("/proc/self", O_RDWR));
    fails("a file is no directory", open("/proc/self/maps", O_RDONLY | O_DIRECTORY));
    fails("below a file", open("/proc/self/maps/x", O_RDONLY));
    fails("exclusively", open("/proc/self/maps", O_RDONLY | O_CREAT | O_EXCL, 0600));
    fails("map it", mmap(0, 4096, PROT_READ, MAP_PRIVATE, maps, 0) == MAP_FAILED ? -1 : 0);
    fails("no such name", open("/proc/self/nothing", O_RDONLY));
    fails("no such process", open("/proc/4194303/stat", O_RDONLY));
    fails("no such descriptor", access("/proc/self/fd/999", F_OK));
    close(maps);
    close(directory);
}

static void listing(void)
{
    char own[16];
    snprintf(own, sizeof own, "%d", getpid());
    int found = 0, self = 0, dots = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        found += strcmp(entry->d_name, own) == 0 && entry->d_type == DT_DIR;
        self += strcmp(entry->d_name, "self") == 0 && entry->d_type == DT_LNK;
        dots += entry->d_name[0] == '.';
    }
    say("listed once", found == 1 && self == 1 && dots == 2);
    rewinddir(proc);
    found = 0;
    for (struct dirent *entry; (entry = readdir(proc));)
        found += strcmp(entry->d_name, own) == 0;
    say("and again", found == 1);
    closedir(proc);
    int descriptors = 0, threads = 0;
    DIR *fds = opendir("/proc/self/fd"), *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(fds));)
        descriptors += entry->d_name[0] != '.' && fcntl(atoi(entry->d_name), F_GETFD) >= 0;
    for (struct dirent *entry; (entry = readdir(tasks));)
        threads += entry->d_name[0] != '.';
    int open_ones = 0;
    for (int number = 0; number < 1024; number++)
        open_ones += fcntl(number, F_GETFD) >= 0;
    say("each descriptor", descriptors == open_ones);
    say("each thread", threads == 1);
    closedir(fds);
    closedir(tasks);
}

static void contents(void)
{
    char text[4096], expected[64];
    int comm = open("/proc/self/comm", O_RDWR);
    say("name", read(comm, text, sizeof text) == 11 && memcmp(text, "proc_names\n", 11) == 0);
    say("a new name", write(comm, "other", 5) == 5 && lseek(comm, 0, SEEK_SET) == 0);
    say("is read from the start", read(comm, text, sizeof text) == 6 && memcmp(text, "other\n", 6) == 0);
    say("then it ends", read(comm, text, sizeof text) == 0);
    close(comm);

    int memory = open("/proc/self/mem", O_RDWR);
    static volatile uint64_t word = 0x1122334455667788;
    uint64_t copy = 0;
    say("memory", pread(memory, &copy, 8, (off_t)(uintptr_t)&word) == 8 && copy == word);
    copy = 42;
    say("changed", pwrite(memory, &copy, 8, (off_t)(uintptr_t)&word) == 8 && word == 42);
    say("sought", lseek(memory, (off_t)(uintptr_t)&word, SEEK_SET) > 0 && read(memory, &copy, 8) == 8 && copy == 42);
    fails("where nothing is", pread(memory, &copy, 8, 16));
    close(memory);

    char *pages = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pages[0] = 1;
    (void)*(volatile char *)(pages + 4096);
    uint64_t words[4];
    int map = open("/proc/self/pagemap", O_RDONLY);
    say("page map", pread(map, words, sizeof words, (off_t)((uintptr_t)pages / 4096 * 8)) == sizeof words);
    printf("present %d%d%d%d exclusive %d%d\n", (int)(words[0] >> 63), (int)(words[1] >> 63), (int)(words[2] >> 63),
           (int)(words[3] >> 63), (int)(words[0] >> 56 & 1), (int)(words[1] >> 56 & 1));
    fails("in words", pread(map, words, 7, 0));
    say("it ends where programs do", pread(map, words, 8, (off_t)0x7ffffffff * 8) == 0);
    say("and has none of the kernel's", pread(map, words, 8, (off_t)0x800000000 * 8) == 0);
    close(map);

    int adjustment = open("/proc/self/oom_score_adj", O_RDWR);
    say("more likely", write(adjustment, "500\n", 4) == 4 && lseek(adjustment, 0, SEEK_SET) == 0);
    say("as written", read(adjustment, text, sizeof text) == 4 && memcmp(text, "500\n", 4) == 0);
    fails("beyond", write(adjustment, "1001", 4));
    close(adjustment);

    int file = open("/proc/self/syscall", O_RDONLY);
    long count = read(file, text, sizeof text - 1);
    snprintf(expected, sizeof expected, "0 %#x %p %#zx ", file, (void *)text, sizeof text - 1);
    say("what it asks", count > 0 && strncmp(text, expected, strlen(expected)) == 0);
    close(file);
    say("with what", count > 0 && text[count - 1] == '\n');

    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    snprintf(expected, sizeof expected, "Max open files            %-20lu ", (unsigned long)limit.rlim_cur);
    say("limits", reads("/proc/self/limits", text, sizeof text) && strstr(text, expected));
    say("arguments", reads("/proc/self/cmdline", text, sizeof text) && strstr(text, "proc_names"));
}

static void others(void)
{
    char path[64], text[512];
    int ready[2];
    if (pipe(ready) != 0)
        exit(1);
    int directory = open("/proc/self", O_RDONLY);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        int file = openat(directory, "stat", O_RDONLY);
        ssize_t done = read(file, text, sizeof text - 1);
        _exit(done > 0 && atoi(text) == parent ? 7 : 1);
    }
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    say("a child sees its parent by an inherited directory", info.si_status == 7);
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    int stat_of_child = open(path, O_RDONLY);
    say("a zombie", read(stat_of_child, text, sizeof text) > 0 && strstr(text, ") Z "));
    snprintf(path, sizeof path, "/proc/%d", child);
    int of_child = open(path, O_RDONLY);
    waitpid(child, 0, 0);
    fails("gone", access(path, F_OK));
    fails("from its directory", openat(of_child, "stat", O_RDONLY));
    lseek(stat_of_child, 0, SEEK_SET);
    fails("from its file", read(stat_of_child, text, sizeof text));
}

int main(void)
{
    paths();
    links();
    attributes();
    listing();
    contents();
    others();
    return 0;
}
