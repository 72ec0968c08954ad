// Requests of ioctl and fcntl that are about files, terminals, timers and sets of descriptors.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef FIOQSIZE
#define FIOQSIZE 0x5460
#endif
#define TFD_SET_TICKS _IOW('T', 0, uint64_t)
#define EPOLL_GET _IOR(0x8a, 2, struct epoll_settings)
#define EPOLL_SET _IOW(0x8a, 1, struct epoll_settings)

// struct termio, which the C library's headers have in conflict with struct termios.
struct old_termio {
    unsigned short in, out, control, local;
    unsigned char line, characters[8];
};
struct epoll_settings { uint32_t usecs; uint16_t budget; uint8_t prefers, pad; };

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static void of_files(void) {
    char name[] = "/tmp/requests-XXXXXX", *bytes = calloc(64, 4096);
    int file = mkstemp(name), block = 0, ends[2];
    struct { struct fiemap map; struct fiemap_extent parts[4]; } map = {.map = {.fm_length = ~0ull, .fm_flags = FIEMAP_FLAG_SYNC}};
    struct fsxattr attributes = {0};
    struct { int version; unsigned after; } version = {0, 0x55555555};
    struct { unsigned flags; unsigned after; } flags = {0, 0x55555555};
    long long size = -1;
    unlink(name);
    memset(bytes, 7, 64 * 4096);
    if (write(file, bytes, 64 * 4096) != 64 * 4096 || pipe(ends) != 0) return;
    say("parts, how many", ioctl(file, FS_IOC_FIEMAP, &map));
    printf("%d\n", map.map.fm_mapped_extents > 0);
    map.map = (struct fiemap){.fm_length = ~0ull, .fm_flags = FIEMAP_FLAG_SYNC, .fm_extent_count = 4};
    say("parts", ioctl(file, FS_IOC_FIEMAP, &map));
    printf("the first begins at %llu, the last is marked %d\n", (unsigned long long)map.parts[0].fe_logical,
           map.map.fm_mapped_extents > 0 && map.map.fm_mapped_extents <= 4 && (map.parts[map.map.fm_mapped_extents - 1].fe_flags & FIEMAP_EXTENT_LAST));
    map.map.fm_flags = 0x8000;
    say("of a kind there is not", ioctl(file, FS_IOC_FIEMAP, &map));
    say("nowhere", ioctl(file, FS_IOC_FIEMAP, 8));
    say("of a pipe", ioctl(ends[0], FS_IOC_FIEMAP, &map));
    say("of nothing", ioctl(-1, FS_IOC_FIEMAP, &map));
    say("block", ioctl(file, FIBMAP, &block));
    say("nowhere", ioctl(file, FIBMAP, 8));
    say("attributes", ioctl(file, FS_IOC_FSGETXATTR, &attributes));
    printf("%x\n", attributes.fsx_xflags);
    say("version", ioctl(file, FS_IOC_GETVERSION, &version));
    printf("behind it: %x\n", version.after);
    say("flags", ioctl(file, FS_IOC_GETFLAGS, &flags));
    printf("behind them: %x\n", flags.after);
    say("size", ioctl(file, FIOQSIZE, &size));
    printf("%lld\n", size);
    size = -1;
    say("size of a pipe", ioctl(ends[0], FIOQSIZE, &size));
    uint64_t hint = RWH_WRITE_LIFE_SHORT, told = 77;
    say("hint", fcntl(file, F_SET_RW_HINT, &hint));
    say("told", fcntl(file, F_GET_RW_HINT, &told));
    printf("%llu\n", (unsigned long long)told);
    hint = 99;
    say("one there is not", fcntl(file, F_SET_RW_HINT, &hint));
    say("nowhere", fcntl(file, F_GET_RW_HINT, 8));
    say("of a description", fcntl(file, F_GET_FILE_RW_HINT, &told));
    close(file), close(ends[0]), close(ends[1]);
}

static void of_terminals(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave, exclusive = -1;
    struct old_termio modes = {0};
    if (master < 0 || grantpt(master) || unlockpt(master)) return;
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    say("modes", ioctl(slave, 0x5405, &modes));
    printf("%o %o %o %o, interrupt %o\n", modes.in, modes.out, modes.control, modes.local, modes.characters[0]);
    modes.local = 0;
    say("set", ioctl(slave, 0x5406, &modes));
    say("after what is written", ioctl(slave, 0x5407, &modes));
    say("and without what was typed", ioctl(slave, 0x5408, &modes));
    modes.local = 1;
    say("told", ioctl(slave, 0x5405, &modes));
    printf("%o\n", modes.local);
    say("exclusive", ioctl(slave, TIOCEXCL));
    say("told", ioctl(slave, TIOCGEXCL, &exclusive));
    printf("%d\n", exclusive);
    say("not any more", ioctl(slave, TIOCNXCL));
    say("told", ioctl(slave, TIOCGEXCL, &exclusive));
    printf("%d\n", exclusive);
    say("modes of no terminal", ioctl(eventfd(0, 0), 0x5405, &modes));
    close(slave), close(master);
}

static void of_others(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), set = epoll_create1(0);
    struct epoll_settings settings = {0};
    uint64_t ticks = 5;
    say("no ticks", ioctl(timer, TFD_SET_TICKS, &ticks) >= 0 ? 0 : errno);
    say("of a set", ioctl(set, EPOLL_GET, &settings));
    printf("%u %u %u\n", settings.usecs, settings.budget, settings.prefers);
    settings.usecs = 20;
    say("set", ioctl(set, EPOLL_SET, &settings));
    settings.usecs = 0;
    say("told", ioctl(set, EPOLL_GET, &settings));
    printf("%u\n", settings.usecs);
    close(timer), close(set);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    of_files();
    of_terminals();
    of_others();
    return 0;
}
