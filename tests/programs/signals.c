// Signals: what siginfo and the context say, faults repaired by their handler, nesting and masks, alternate stacks,
// descriptors of signals, waiting for them, and the state of the vector registers.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static char *page;
static volatile int faults;

static void on_fault(int signal, siginfo_t *info, void *opaque) {
    ucontext_t *context = opaque;
    greg_t *registers = context->uc_mcontext.gregs;
    printf("signal %d, code %d, address %ld, trap %ld, error %ld, cr2 is it: %d\n", signal, info->si_code,
           (long)((char *)info->si_addr - page), (long)registers[REG_TRAPNO], (long)registers[REG_ERR],
           registers[REG_CR2] == (greg_t)(uintptr_t)info->si_addr);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    faults++;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, NULL);
}

static void repaired(void) {
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, on_fault, 0);
    page[123] = 42; // faults, is repaired, is executed again
    printf("stored %d after %d fault\n", page[123], faults);
    mprotect(page, 4096, PROT_READ);
    page[124] = 43;
    printf("stored %d after %d faults\n", page[124], faults);
    signal(SIGSEGV, SIG_DFL);
}

// The handler changes registers of what it interrupted: general ones, the flags, vector ones.
static void on_trap(int signal, siginfo_t *info, void *opaque) {
    ucontext_t *context = opaque;
    uint32_t *state = (uint32_t *)context->uc_mcontext.fpregs;
    (void)signal;
    context->uc_mcontext.gregs[REG_RBX] = 0x1234;
    printf("trap %ld code %d, extended state: %d, its end: %d, flags %ld\n",
           (long)context->uc_mcontext.gregs[REG_TRAPNO], info->si_code, state[116] == 0x46505853,
           *(uint32_t *)((char *)state + state[117] - 4) == 0x46505845, (long)(context->uc_flags & 1));
    memset(&context->uc_mcontext.fpregs->_xmm[0], 0x5a, sizeof context->uc_mcontext.fpregs->_xmm[0]);
}

static void changed(void) {
    uint64_t general = 1, vector[2] = {7, 7};
    handle(SIGTRAP, on_trap, 0);
    __asm__ volatile("mov %0, %%rbx\n movdqu %1, %%xmm0\n int3\n mov %%rbx, %0\n movdqu %%xmm0, %1"
                     : "+r"(general), "+m"(vector) : : "rbx", "xmm0", "memory");
    printf("general %lx, vector %lx\n", (unsigned long)general, (unsigned long)vector[0]);
}

// A handler begins with x87 and SSE as at program start, and what it interrupted has its own again.
static void on_fresh(int signal, siginfo_t *info, void *opaque) {
    uint16_t control;
    uint32_t sse;
    uint8_t environment[28];
    uint64_t vector[2];
    (void)signal, (void)info, (void)opaque;
    __asm__ volatile("movdqu %%xmm5, %0\n fnstcw %1\n stmxcsr %2\n fnstenv %3"
                     : "=m"(vector), "=m"(control), "=m"(sse), "=m"(environment));
    printf("a handler's state: control %x, tags %x, sse %x, vector %lx\n", control,
           environment[8] | environment[9] << 8, sse, (unsigned long)vector[0]);
}

static void fresh(void) {
    uint16_t control = 0x27f;
    uint32_t sse = 0x5f80;
    uint64_t vector[2] = {7, 7};
    long self = getpid(), thread = gettid(), answer = SYS_tgkill;
    handle(SIGUSR1, on_fresh, 0);
    __asm__ volatile("fldcw %1\n ldmxcsr %2\n movdqu %3, %%xmm5\n fld1\n fldpi\n syscall\n"
                     "fstp %%st\n fstp %%st\n fnstcw %1\n stmxcsr %2\n movdqu %%xmm5, %3\n fninit"
                     : "+a"(answer), "+m"(control), "+m"(sse), "+m"(vector)
                     : "D"(self), "S"(thread), "d"(SIGUSR1) : "rcx", "r11", "memory", "xmm5");
    printf("afterwards: control %x, sse %x, vector %lx\n", control, sse, (unsigned long)vector[0]);
    sse = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(sse));
}

// What a handler may leave in its frame that the processor refuses.
static int spoiled;

static void on_spoiled(int signal, siginfo_t *info, void *opaque) {
    ucontext_t *context = opaque;
    char *state = (char *)context->uc_mcontext.fpregs;
    (void)signal, (void)info;
    if (spoiled == 0) state[27] |= 0x80; // a reserved bit of MXCSR
    if (spoiled == 1) state[527] |= 0x80; // a compacted header
    if (spoiled == 2) context->uc_mcontext.fpregs = (void *)(state + 1);
    if (spoiled == 3) context->uc_mcontext.fpregs = NULL;
}

static void spoiling(void) {
    for (spoiled = 0; spoiled < 4; spoiled++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            uint64_t vector[2] = {7, 7};
            long answer = SYS_tgkill;
            handle(SIGUSR1, on_spoiled, 0);
            __asm__ volatile("movdqu %1, %%xmm5\n syscall\n movdqu %%xmm5, %1"
                             : "+a"(answer), "+m"(vector)
                             : "D"(getpid()), "S"(gettid()), "d"(SIGUSR1) : "rcx", "r11", "memory", "xmm5");
            _exit((int)vector[0]);
        }
        waitpid(child, &status, 0);
        printf("spoiled %d: signal %d, status %d\n", spoiled, WTERMSIG(status), WEXITSTATUS(status));
    }
}

static sigjmp_buf out;
static volatile sig_atomic_t depth, deepest;

static void on_nested(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    if (++depth > deepest) deepest = depth;
    if (signal == SIGUSR1) raise(SIGUSR2); // not blocked here: it nests
    depth--;
}

static void on_deep(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    if (++depth < 5) raise(signal);
    if (depth > deepest) deepest = depth;
}

static void on_jump(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    siglongjmp(out, 1);
}

static void nesting(void) {
    handle(SIGUSR1, on_nested, 0);
    handle(SIGUSR2, on_nested, 0);
    raise(SIGUSR1);
    printf("nested %d deep\n", (int)deepest);
    depth = deepest = 0;
    handle(SIGUSR1, on_deep, SA_NODEFER);
    raise(SIGUSR1);
    printf("itself %d deep\n", (int)deepest);
    handle(SIGUSR1, on_nested, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("reset: %d\n", now.sa_handler == SIG_DFL);
    handle(SIGFPE, on_jump, 0);
    volatile int zero = 0, turns = 0;
    while (sigsetjmp(out, 1) == 0 || turns < 3) {
        turns++;
        zero = 100 / zero;
    }
    printf("jumped out %d times\n", turns);
}

static char *stack_start;

static void on_stack(int signal, siginfo_t *info, void *opaque) {
    stack_t told;
    char here;
    ucontext_t *context = opaque;
    (void)signal, (void)info;
    sigaltstack(NULL, &told);
    printf("on it: %d, told so: %d, the context has it: %d, change: %s\n",
           &here >= stack_start && &here < stack_start + 65536, told.ss_flags == SS_ONSTACK,
           context->uc_stack.ss_sp == stack_start,
           sigaltstack(&told, NULL) < 0 ? strerror(errno) : "done");
}

static void alternate(void) {
    stack_start = malloc(65536);
    stack_t stack = {.ss_sp = stack_start, .ss_size = 65536}, small = {.ss_sp = stack_start, .ss_size = 100};
    say("too small", sigaltstack(&small, NULL));
    say("set", sigaltstack(&stack, NULL));
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    raise(SIGUSR1);
    handle(SIGUSR1, on_stack, 0);
    raise(SIGUSR1);
    stack.ss_flags = SS_DISABLE;
    say("off", sigaltstack(&stack, NULL));
}

static void descriptors(void) {
    struct signalfd_siginfo infos[4];
    sigset_t set;
    siginfo_t info;
    union sigval value = {.sival_int = 99};
    struct epoll_event event = {.events = EPOLLIN};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int file = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), both = epoll_create1(0);
    struct pollfd ready = {file, POLLIN, 0};
    epoll_ctl(both, EPOLL_CTL_ADD, file, &event);
    printf("made %d, closed by exec %d\n", file >= 0, fcntl(file, F_GETFD));
    say("nothing", read(file, infos, sizeof infos));
    say("not ready", poll(&ready, 1, 0));
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, value);
    sigqueue(getpid(), SIGRTMIN, value);
    say("ready", poll(&ready, 1, 1000));
    say("by epoll", epoll_wait(both, &event, 1, 1000));
    say("too short", read(file, infos, 100));
    say("bytes", read(file, infos, sizeof infos));
    for (int index = 0; index < 3; index++) {
        printf("%d code %d by us %d value %d\n", infos[index].ssi_signo == SIGUSR1, infos[index].ssi_code,
               infos[index].ssi_pid == (uint32_t)getpid(), infos[index].ssi_int);
    }
    say("not ready", poll(&ready, 1, 0));
    kill(getpid(), SIGUSR1);
    say("taken elsewhere", sigwaitinfo(&set, &info) == SIGUSR1);
    say("not ready", poll(&ready, 1, 0));
    sigdelset(&set, SIGUSR1);
    say("another set", signalfd(file, &set, 0) == file);
    kill(getpid(), SIGUSR1);
    say("not ready", poll(&ready, 1, 0));
    say("no such", signalfd(0, &set, 0));
    pid_t child = fork();
    if (child == 0) _exit(8);
    say("a child", poll(&ready, 1, 5000));
    say("bytes", read(file, infos, sizeof infos));
    printf("%d status %d the child %d\n", infos[0].ssi_signo == SIGCHLD, infos[0].ssi_status,
           infos[0].ssi_pid == (uint32_t)child);
    waitpid(child, NULL, 0);
    // A reader that waits.
    fcntl(file, F_SETFL, 0);
    if (fork() == 0) {
        usleep(30000);
        sigqueue(getppid(), SIGRTMIN, value);
        usleep(200000); // its own end is not to be the first to be read
        _exit(0);
    }
    say("waited for", read(file, infos, sizeof infos[0]));
    printf("value %d\n", infos[0].ssi_int);
    wait(NULL);
    while (poll(&ready, 1, 0) == 1 && read(file, infos, sizeof infos) > 0) {}
    sigset_t pending;
    sigpending(&pending);
    say("still pending", sigismember(&pending, SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    sigpending(&pending);
    say("ignored, it is gone", sigismember(&pending, SIGUSR1));
}

static void ends(void) {
    static const int kinds[] = {SIGILL, SIGTERM, SIGABRT, SIGBUS, SIGPIPE, 40, SIGURG, SIGCHLD};
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            signal(kinds[index], SIG_DFL);
            raise(kinds[index]);
            _exit(1);
        }
        waitpid(child, &status, 0);
        printf("%d: %s %d\n", kinds[index], WIFSIGNALED(status) ? "killed by" : "exited with",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

// A thread is named by its process and its own number, and only of oneself is said what the kernel says.
static void queued(void) {
    siginfo_t info = {.si_code = SI_QUEUE};
    pid_t us = getpid(), child = fork();
    if (child == 0) {
        signal(SIGUSR2, SIG_IGN);
        say("another's thread", syscall(SYS_rt_tgsigqueueinfo, getpid(), us, SIGTERM, &info));
        say("another's number", syscall(SYS_rt_tgsigqueueinfo, us, getpid(), SIGTERM, &info));
        say("no process", syscall(SYS_rt_tgsigqueueinfo, 0, us, SIGTERM, &info));
        say("no thread", syscall(SYS_rt_tgsigqueueinfo, us, -3, SIGTERM, &info));
        say("no signal", syscall(SYS_rt_tgsigqueueinfo, us, us, 65, &info));
        say("no signal, nobody", syscall(SYS_rt_sigqueueinfo, 99999999, 65, &info));
        say("to see whether it is there", syscall(SYS_rt_tgsigqueueinfo, us, us, 0, &info));
        say("nowhere", syscall(SYS_rt_tgsigqueueinfo, 0, 0, 65, NULL));
        info.si_code = SI_USER;
        say("as the kernel", syscall(SYS_rt_tgsigqueueinfo, us, us, SIGTERM, &info));
        say("as the kernel, to nobody", syscall(SYS_rt_sigqueueinfo, 99999999, SIGTERM, &info));
        say("as the kernel, to oneself", syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR2, &info));
        _exit(0);
    }
    say("all is said", waitpid(child, NULL, 0) == child);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    repaired();
    changed();
    fresh();
    spoiling();
    nesting();
    alternate();
    descriptors();
    queued();
    ends();
    return 0;
}
