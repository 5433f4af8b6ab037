/*
 * One program, two kinds of sockets: the kernel's over loopback, or, with SYNWARD, those of two engines that this program
 * joins, stepped or, with THREADED, in real time. What it prints must not depend on which.
 */
#ifndef BOTH_H
#define BOTH_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef SYNWARD

#include <synward.h>
#define S(call) sw_##call
#define SERVER "192.0.2.1"
#define CLIENT "192.0.2.2"
#define SERVER6 "2001:db8::1"

/* The two engines, and who is which. */
static int engines[2];
enum { AT_SERVER, AT_CLIENT };

#ifdef THREADED

#include <pthread.h>
#define MODE SW_FRAMES

/* Moves frames from one engine to the other for as long as both are there. */
static void *carry(void *side)
{
    unsigned char frame[2048];
    int from = *(int *)side;
    ssize_t len;

    while ((len = sw_frame_take(engines[from], frame, sizeof frame, NULL, -1)) > 0)
        sw_frame_inject(engines[!from], frame, (size_t)len);
    return NULL;
}

static void join_engines(void)
{
    static int sides[2] = { AT_SERVER, AT_CLIENT };
    pthread_t thread;

    for (int side = 0; side < 2; side++)
        if (pthread_create(&thread, NULL, carry, &sides[side]))
            perror("a thread");
}

static inline void settle(void) {}

#else

#define MODE SW_STEPPED

static void join_engines(void) {}

/* Moves frames until there are no more. Time stands still. */
static void settle(void)
{
    unsigned char frame[2048];
    ssize_t len;

    for (int moved = 1; moved;) {
        moved = 0;
        for (int from = 0; from < 2; from++) {
            while ((len = sw_frame_take(engines[from], frame, sizeof frame, NULL, 0)) > 0) {
                uint64_t now;
                moved = 1;
                if (sw_frame_inject(engines[!from], frame, (size_t)len) || sw_step_now(engines[!from], &now) ||
                    sw_step_run(engines[!from], now))
                    perror("a frame");
            }
        }
    }
}

#endif

static void open_network(void)
{
    struct sw_config server = { .mode = MODE, .addresses = SERVER " " SERVER6, .seed = 1 };
    struct sw_config client = { .mode = MODE, .addresses = CLIENT " 2001:db8::2", .seed = 2 };

    engines[AT_SERVER] = sw_open(&server);
    engines[AT_CLIENT] = sw_open(&client);
    if (engines[AT_SERVER] < 0 || engines[AT_CLIENT] < 0) {
        fprintf(stderr, "sw_open: %s\n", sw_error());
        exit(1);
    }
    join_engines();
}

static void at(int side)
{
    if (sw_use(engines[side]) < 0)
        perror("sw_use");
}

#else

#define S(call) call
#define SERVER "127.0.0.1"
#define CLIENT "127.0.0.1"
#define SERVER6 "::1"
enum { AT_SERVER, AT_CLIENT };

static inline void open_network(void) {}
static inline void at(int side) { (void)side; }
static inline void settle(void) {}

#endif

/* Waits until `fd` can do all of `events`. */
static inline void until(int fd, short events)
{
    struct pollfd asked = { .fd = fd, .events = events };

    for (int tries = 0; tries < 5000; tries++) {
        settle();
        if (S(poll)(&asked, 1, 0) > 0 && (asked.revents & events) == events)
            return;
        usleep(1000);
    }
    fprintf(stderr, "waited in vain for events %x: there are %x\n", (unsigned)events, (unsigned)asked.revents);
    exit(1);
}

/* Waits until so many bytes can be read. */
static inline void until_unread(int fd, int bytes)
{
    int unread = -1;

    for (int tries = 0; tries < 5000; tries++) {
        settle();
        if (S(ioctl)(fd, FIONREAD, &unread) == 0 && unread == bytes)
            return;
        usleep(1000);
    }
    fprintf(stderr, "waited in vain for %d bytes: there are %d\n", bytes, unread);
    exit(1);
}

/* Waits until so many connections wait for accept. */
static inline void until_waiting(int fd, unsigned connections)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    for (int tries = 0; tries < 5000; tries++) {
        settle();
        if (S(getsockopt)(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_unacked == connections)
            return;
        usleep(1000);
    }
    fprintf(stderr, "waited in vain for %u connections: there are %u\n", connections, info.tcpi_unacked);
    exit(1);
}

/* Prints what a call came to. */
#define TELL(call)                                                                               \
    do {                                                                                         \
        errno = 0;                                                                               \
        long told = (long)(call);                                                                \
        printf("%s:%d: %s\n", __func__, __LINE__, told < 0 ? strerrorname_np(errno) : number(told)); \
    } while (0)

static inline const char *number(long value)
{
    static char text[32];
    snprintf(text, sizeof text, "%ld", value);
    return text;
}

/* A value that a call wrote. */
#define TELL_VALUE(value) printf("%s:%d: %s = %ld\n", __func__, __LINE__, #value, (long)(value))

static inline struct sockaddr *address(struct sockaddr_in *in)
{
    return (struct sockaddr *)in;
}

static inline struct sockaddr_in to(const char *host, int port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, host, &in.sin_addr);
    return in;
}

static inline int tcp(int side)
{
    at(side);
    int fd = S(socket)(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        perror("socket");
        exit(1);
    }
    return fd;
}

/* A listener at a port of its own. */
static inline int listener(struct sockaddr_in *where)
{
    int fd = tcp(AT_SERVER);
    struct sockaddr_in any = to(SERVER, 0);
    socklen_t len = sizeof *where;

    if (S(bind)(fd, address(&any), sizeof any) || S(listen)(fd, 8) || S(getsockname)(fd, address(where), &len)) {
        perror("a listener");
        exit(1);
    }
    return fd;
}

/* Two ends of a connection, and the listener it came from. */
struct joined {
    int listener, server, client;
};

static inline struct joined join_with(void (*prepare)(int listener, int client))
{
    struct sockaddr_in where;
    struct joined joined;

    joined.listener = listener(&where);
    joined.client = tcp(AT_CLIENT);
    if (prepare)
        prepare(joined.listener, joined.client);
    if (S(connect)(joined.client, address(&where), sizeof where) && errno != EINPROGRESS) {
        perror("connect");
        exit(1);
    }
    until(joined.client, POLLOUT);
    S(connect)(joined.client, address(&where), sizeof where);
    until(joined.listener, POLLIN);
    joined.server = S(accept4)(joined.listener, NULL, NULL, SOCK_NONBLOCK);
    if (joined.server < 0) {
        perror("accept4");
        exit(1);
    }
    return joined;
}

static inline struct joined join(void)
{
    return join_with(NULL);
}

static inline void part(struct joined joined)
{
    S(close)(joined.client);
    S(close)(joined.server);
    S(close)(joined.listener);
    settle();
}

/* Ends a connection with a reset from the server. */
static inline void reset(int fd)
{
    struct linger at_once = { 1, 0 };
    S(setsockopt)(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    S(close)(fd);
    settle();
}

/* What no compiler lets pass where it sees it. */
static void *volatile nothing;
static volatile int negative = -1;

static int pipes;

static void count_pipe(int signal)
{
    (void)signal;
    pipes++;
}

static inline void begin(void)
{
    (void)nothing, (void)negative;
    signal(SIGPIPE, count_pipe);
    setvbuf(stdout, NULL, _IOLBF, 0);
    open_network();
}

#endif
