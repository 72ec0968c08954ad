/* Exact samples of what memory costs this process. Nothing here allocates, so that two samples in a row differ by
 * nothing: the buffer and the stack it needs have been touched by the first. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct sample {
    long minor, major; /* faults */
    long rss_kb;       /* resident in the area that is asked about */
    long tables_kb;    /* page tables */
};

static char sample_text[1 << 18];

static void sample_read(const char *path)
{
    size_t length = 0;
    ssize_t got;
    int file = open(path, O_RDONLY);

    if (file < 0) {
        perror(path);
        exit(1);
    }
    while ((got = read(file, sample_text + length, sizeof sample_text - 1 - length)) > 0)
        length += (size_t)got;
    sample_text[length] = 0;
    close(file);
}

static long sample_number(const char *from, const char *key)
{
    const char *line = from == NULL ? NULL : strstr(from, key);

    return line == NULL ? -1 : atol(line + strlen(key));
}

/* Samples; rss_kb is that of the area in smaps that holds `area`. */
static struct sample sample(const char *area)
{
    struct rusage usage;
    struct sample now;
    unsigned long start, end;
    char *line, *newline;

    sample_read("/proc/self/status");
    now.tables_kb = sample_number(sample_text, "VmPTE:");
    sample_read("/proc/self/smaps");
    now.rss_kb = -1;
    for (line = sample_text; line != NULL && *line != 0; line = newline == NULL ? NULL : newline + 1) {
        newline = strchr(line, '\n');
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && start <= (unsigned long)area && (unsigned long)area < end) {
            now.rss_kb = sample_number(line, "Rss:");
            break;
        }
    }
    getrusage(RUSAGE_SELF, &usage);
    now.minor = usage.ru_minflt;
    now.major = usage.ru_majflt;
    return now;
}

/* Prints what happened between two samples. */
static void sample_print(const char *what, struct sample before, struct sample after)
{
    printf("%s: min_flt %+ld maj_flt %+ld rss %+ld kB\n", what, after.minor - before.minor,
           after.major - before.major, after.rss_kb - before.rss_kb);
    fflush(stdout);
}

/* Touches everything that samples need. */
static void sample_warm_up(const char *area)
{
    volatile char stack[1 << 16];
    struct sample first;
    size_t i;

    for (i = 0; i < sizeof stack; i += 4096)
        stack[i] = 1;
    memset(sample_text, 1, sizeof sample_text);
    first = sample(area);
    sample_print("nothing", first, first);
    first = sample(area);
    sample_print("nothing", first, sample(area));
}
