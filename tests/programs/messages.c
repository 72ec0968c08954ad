// Many messages at a time, pages lent to a pipe, POSIX queues; names of network interfaces.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <mqueue.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer < 0 ? strerror(errno) : "");
}

static void many(void) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) < 0) return;
    char texts[3][2][8] = {{"one ", "first"}, {"two ", "second"}, {"three ", "third"}};
    struct iovec parts[3][2];
    struct mmsghdr out[3] = {0}, in[4] = {0};
    char received[4][32] = {0}, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec whole[4];
    for (int index = 0; index < 3; index++) {
        for (int part = 0; part < 2; part++) {
            parts[index][part] = (struct iovec){texts[index][part], strlen(texts[index][part])};
        }
        out[index].msg_hdr.msg_iov = parts[index];
        out[index].msg_hdr.msg_iovlen = 2;
    }
    // The second message carries a descriptor.
    out[1].msg_hdr.msg_control = control;
    out[1].msg_hdr.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&out[1].msg_hdr);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    int zero = open("/dev/zero", O_RDONLY);
    memcpy(CMSG_DATA(header), &zero, sizeof zero);
    say("sent", sendmmsg(sockets[0], out, 3, 0));
    printf("lengths %u %u %u\n", out[0].msg_len, out[1].msg_len, out[2].msg_len);
    char controls[4][CMSG_SPACE(sizeof(int))];
    for (int index = 0; index < 4; index++) {
        whole[index] = (struct iovec){received[index], 31};
        in[index].msg_hdr = (struct msghdr){.msg_iov = &whole[index], .msg_iovlen = 1, .msg_control = controls[index],
                                            .msg_controllen = sizeof controls[index]};
    }
    say("received", recvmmsg(sockets[1], in, 4, MSG_DONTWAIT, NULL));
    for (int index = 0; index < 3; index++) {
        printf("%s, %u bytes, %zu of control\n", received[index], in[index].msg_len, in[index].msg_hdr.msg_controllen);
    }
    header = CMSG_FIRSTHDR(&in[1].msg_hdr);
    int passed = -1;
    if (header) memcpy(&passed, CMSG_DATA(header), sizeof passed);
    char byte = 1;
    say("read from what was passed", read(passed, &byte, 1));
    struct timespec soon = {0, 1000000};
    say("nothing more", recvmmsg(sockets[1], in, 4, MSG_WAITFORONE | MSG_DONTWAIT, &soon));
    close(sockets[1]);
    say("nobody", sendmmsg(sockets[0], out, 3, MSG_NOSIGNAL));
}

static void lent(void) {
    int pipes[2];
    char text[] = "lent to a pipe", back[32] = {0};
    struct iovec out = {text, sizeof text}, in = {back, sizeof back};
    if (pipe(pipes) < 0) return;
    say("vmsplice", vmsplice(pipes[1], &out, 1, 0));
    say("and back", vmsplice(pipes[0], &in, 1, 0));
    printf("%s\n", back);
}

static void posix_queue(void) {
    char name[64], text[64];
    unsigned priority;
    snprintf(name, sizeof name, "/pagewalk-%d-%ld", getpid(), (long)time(NULL));
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 32};
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
    if (queue < 0) {
        printf("no queues: %s\n", strerror(errno));
        return;
    }
    say("low", mq_send(queue, "low", 4, 1));
    say("high", mq_send(queue, "high", 5, 9));
    say("too long", mq_send(queue, text, 64, 0));
    say("received", mq_receive(queue, text, 64, &priority));
    printf("%s of priority %u\n", text, priority);
    mq_getattr(queue, &attributes);
    printf("%ld left of %ld\n", attributes.mq_curmsgs, attributes.mq_maxmsg);
    say("received", mq_receive(queue, text, 64, &priority));
    say("none", mq_receive(queue, text, 64, &priority));
    say("unlink", mq_unlink(name));
    mq_close(queue);
}

static void interfaces(void) {
    char name[IF_NAMESIZE] = "";
    unsigned number = if_nametoindex("lo");
    printf("lo is interface %u, which is called %s\n", number, if_indextoname(number, name));
    say("no such interface", if_nametoindex("no-such") == 0 ? -1 : 0);
    struct ifaddrs *all = NULL;
    say("by netlink", getifaddrs(&all));
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET) printf("%s\n", one->ifa_name);
    }
    freeifaddrs(all);
    int socket_of_any = socket(AF_INET, SOCK_DGRAM, 0), pipes[2];
    struct ifreq list[64];
    struct ifconf asked = {.ifc_len = 0, .ifc_buf = NULL};
    say("how long their list is", ioctl(socket_of_any, SIOCGIFCONF, &asked));
    printf("%d bytes\n", asked.ifc_len);
    asked = (struct ifconf){.ifc_len = sizeof list, .ifc_req = list};
    say("the list", ioctl(socket_of_any, SIOCGIFCONF, &asked));
    printf("%d bytes, %s\n", asked.ifc_len, asked.ifc_req == list ? "where they were wanted" : "elsewhere");
    for (int index = 0; index < asked.ifc_len / (int)sizeof *list; index++) printf("%s\n", list[index].ifr_name);
    asked = (struct ifconf){.ifc_len = sizeof *list + 1, .ifc_req = list};
    say("as much as there is room for", ioctl(socket_of_any, SIOCGIFCONF, &asked));
    printf("%d bytes\n", asked.ifc_len);
    asked.ifc_len = -1;
    say("no room", ioctl(socket_of_any, SIOCGIFCONF, &asked));
    printf("%d bytes\n", asked.ifc_len);
    asked = (struct ifconf){.ifc_len = sizeof list, .ifc_buf = (char *)1};
    say("nowhere", ioctl(socket_of_any, SIOCGIFCONF, &asked));
    say("no list", ioctl(socket_of_any, SIOCGIFCONF, NULL));
    say("of a pipe", pipe(pipes) < 0 ? 0 : ioctl(pipes[0], SIOCGIFCONF, &asked));
    say("of nothing", ioctl(-1, SIOCGIFCONF, &asked));
}

int main(void) {
    interfaces();
    many();
    lent();
    posix_queue();
    return 0;
}
