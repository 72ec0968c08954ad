// System V IPC between processes: shared memory, semaphores with SEM_UNDO, message queues, and what they refuse.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

union semun { int val; struct semid_ds *buf; unsigned short *array; };
struct message { long type; char text[64]; };

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static int status_of(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

static void segments(key_t key) {
    int id = shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0640);
    printf("a segment: %d\n", id >= 0);
    say("again, exclusively", shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0640));
    say("a larger one", shmget(key, 20000, 0));
    say("none", shmget(key + 1, 4096, 0));
    say("of no bytes", shmget(key + 1, 0, IPC_CREAT | 0600));
    printf("the same: %d\n", shmget(key, 0, 0) == id);
    char *first = shmat(id, NULL, 0), *second = shmat(id, NULL, SHM_RDONLY);
    strcpy(first + 5000, "written here");
    printf("read there: %s\n", second + 5000);
    pid_t child = fork();
    if (child == 0) {
        strcpy(first, "by the child");
        second[0] = 0; // read-only: SIGSEGV
        _exit(0);
    }
    printf("the child died of %d: %s\n", WTERMSIG(status_of(child)), second);
    struct shmid_ds told;
    shmctl(id, IPC_STAT, &told);
    printf("%zu bytes, mode %o, %lu attached, by us %d\n", told.shm_segsz, told.shm_perm.mode,
           (unsigned long)told.shm_nattch, told.shm_cpid == getpid());
    say("at a taken place", (long)shmat(id, first, 0));
    say("at an odd place", (long)shmat(id, first + 1, 0));
    say("over it", shmat(id, first, SHM_REMAP) == first);
    say("detach", shmdt(second));
    say("twice", shmdt(second));
    say("elsewhere", shmdt(first + 4096));
    say("remove", shmctl(id, IPC_RMID, NULL));
    shmctl(id, IPC_STAT, &told);
    printf("still there: mode %o, %lu attached: %s\n", told.shm_perm.mode, (unsigned long)told.shm_nattch, first);
    say("by its key", shmget(key, 0, 0));
    say("detach the last", shmdt(first));
    say("then", shmctl(id, IPC_STAT, &told));
    // One that nobody removes and nobody detaches: it ends with the process, or the machine.
    id = shmget(IPC_PRIVATE, 1 << 20, 0600);
    memset(shmat(id, NULL, 0), 1, 1 << 20);
    shmctl(id, IPC_RMID, NULL);
}

static void semaphores(void) {
    int id = semget(IPC_PRIVATE, 3, 0600);
    unsigned short values[3] = {1, 0, 5};
    union semun all = {.array = values}, one = {.val = 7};
    say("set all", semctl(id, 0, SETALL, all));
    say("set one", semctl(id, 2, SETVAL, one));
    one.val = 40000;
    say("too large", semctl(id, 2, SETVAL, one));
    struct sembuf take = {0, -1, SEM_UNDO}, both[2] = {{2, -7, 0}, {1, -1, IPC_NOWAIT}}, zero = {1, 0, 0};
    say("take", semop(id, &take, 1));
    say("all or nothing", semop(id, both, 2));
    say("its value", semctl(id, 2, GETVAL));
    say("zero", semop(id, &zero, 1));
    struct sembuf far = {9, 1, 0};
    say("a far one", semop(id, &far, 1));
    say("none at all", semop(id, &take, 0));
    printf("last by us: %d\n", semctl(id, 0, GETPID) == getpid());
    // A child waits for the semaphore, takes it with SEM_UNDO and dies: it is given back.
    pid_t child = fork();
    if (child == 0) {
        struct sembuf wait = {0, -1, SEM_UNDO};
        _exit(semop(id, &wait, 1) == 0 ? 0 : 1);
    }
    while (semctl(id, 0, GETNCNT) == 0) usleep(1000);
    struct sembuf give = {0, 1, 0};
    say("give", semop(id, &give, 1));
    printf("the child: %d\n", status_of(child));
    say("undone", semctl(id, 0, GETVAL));
    // Waiting for zero, and for a set that goes away.
    pid_t for_zero = fork();
    if (for_zero == 0) {
        struct sembuf wait = {2, 0, 0};
        _exit(semop(id, &wait, 1) == 0 ? 0 : 1);
    }
    while (semctl(id, 2, GETZCNT) == 0) usleep(1000);
    one.val = 0;
    semctl(id, 2, SETVAL, one);
    printf("zero came: %d\n", status_of(for_zero));
    pid_t for_ever = fork();
    if (for_ever == 0) {
        struct sembuf wait = {1, -1, 0};
        _exit(semop(id, &wait, 1) == -1 && errno == EIDRM ? 0 : 1);
    }
    while (semctl(id, 1, GETNCNT) == 0) usleep(1000);
    say("remove", semctl(id, 0, IPC_RMID));
    printf("who waited was told: %d\n", status_of(for_ever));
    say("gone", semctl(id, 0, GETVAL));
}

static void queues(void) {
    int id = msgget(IPC_PRIVATE, 0600);
    struct message message = {0, "text"};
    say("a type of 0", msgsnd(id, &message, 5, 0));
    for (long type = 3; type > 0; type--) {
        message.type = type;
        sprintf(message.text, "message %ld", type);
        msgsnd(id, &message, strlen(message.text) + 1, 0);
    }
    say("the first", msgrcv(id, &message, 64, 0, 0));
    printf("%ld %s\n", message.type, message.text);
    say("the lowest up to 2", msgrcv(id, &message, 64, -2, 0));
    printf("%ld %s\n", message.type, message.text);
    say("too small", msgrcv(id, &message, 4, 2, 0));
    say("cut", msgrcv(id, &message, 4, 2, MSG_NOERROR));
    say("none", msgrcv(id, &message, 64, 0, IPC_NOWAIT));
    // A full queue: the sender waits until somebody receives.
    struct { long type; char text[8000]; } large = {9, "large"};
    say("one", msgsnd(id, &large, 8000, IPC_NOWAIT));
    say("two", msgsnd(id, &large, 8000, IPC_NOWAIT));
    say("three", msgsnd(id, &large, 8000, IPC_NOWAIT));
    pid_t child = fork();
    if (child == 0) _exit(msgsnd(id, &large, 8000, 0) == 0 ? 0 : 1);
    usleep(20000);
    for (int count = 0; count < 3; count++) say("received", msgrcv(id, &large, 8000, 9, 0));
    printf("the sender: %d\n", status_of(child));
    struct msqid_ds told;
    msgctl(id, IPC_STAT, &told);
    printf("%lu messages, %lu bytes at most, received by us %d\n", (unsigned long)told.msg_qnum,
           (unsigned long)told.msg_qbytes, told.msg_lrpid == getpid());
    child = fork();
    if (child == 0) _exit(msgrcv(id, &message, 64, 0, 0) == -1 && errno == EIDRM ? 0 : 1);
    usleep(50000);
    say("remove", msgctl(id, IPC_RMID, NULL));
    printf("who waited was told: %d\n", status_of(child));
}

// The line of an identifier in a list, but for times, sizes in RAM and who.
static void list(const char *name, int id, int fields) {
    char path[64], line[512], *word, *rest;
    snprintf(path, sizeof path, "/proc/sysvipc/%s", name);
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(line, sizeof line, file) == NULL) return;
    printf("%s", line);
    while (fgets(line, sizeof line, file)) {
        int found, ignored;
        if (sscanf(line, "%d %d", &ignored, &found) != 2 || found != id) continue;
        word = strtok_r(line, " ", &rest);
        for (int field = 0; word && field < fields; field++, word = strtok_r(NULL, " ", &rest))
            if (field != 1) printf(" %s", word);
        printf("\n");
    }
    fclose(file);
}

/* Above its index an identifier has how often that was given before (ipc/util.h). */
static int index_of(int identifier) {
    return identifier & 0x7fff;
}

static void information(void) {
    int segment = shmget(IPC_PRIVATE, 5000, 0600), set = semget(IPC_PRIVATE, 4, 0640), queue = msgget(IPC_PRIVATE, 0666);
    struct seminfo of_sets;
    struct msginfo of_queues;
    struct shm_info of_segments;
    struct message message = {1, "ten bytes"};
    msgsnd(queue, &message, 10, 0);
    list("shm", segment, 4);
    list("sem", set, 8);
    list("msg", queue, 5);
    printf("identifiers are in range: %d", semctl(0, 0, IPC_INFO, &of_sets) >= index_of(set));
    printf(" %d", msgctl(0, IPC_INFO, (struct msqid_ds *)&of_queues) >= index_of(queue));
    printf(" %d\n", shmctl(0, SHM_INFO, (struct shmid_ds *)&of_segments) >= index_of(segment));
    printf("sets: %d %d %d %d %d", of_sets.semmni, of_sets.semmsl, of_sets.semmns, of_sets.semopm, of_sets.semvmx);
    printf(" %d %d %d %d\n", of_sets.semmap, of_sets.semmnu, of_sets.semume, of_sets.semaem);
    printf("queues: %d %d %d %d", of_queues.msgmax, of_queues.msgmnb, of_queues.msgmni, of_queues.msgpool);
    printf(" %d %d %d %d\n", of_queues.msgmap, of_queues.msgssz, of_queues.msgtql, of_queues.msgseg);
    semctl(0, 0, SEM_INFO, &of_sets);
    msgctl(0, MSG_INFO, (struct msqid_ds *)&of_queues);
    printf("there are: %d %d %d\n", of_sets.semusz >= 1 && of_sets.semaem >= 4, of_queues.msgpool >= 1, of_segments.used_ids >= 1);
    printf("messages: %d %d\n", of_queues.msgmap >= 1, of_queues.msgtql >= 10);
    shmctl(segment, IPC_RMID, NULL);
    semctl(set, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    segments(0x50570000 + getpid() % 0xffff);
    semaphores();
    queues();
    information();
    return 0;
}
