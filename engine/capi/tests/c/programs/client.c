/* A client on an interface: connects to two addresses of one host, and checks what comes back. Calls wait. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <synward.h>

enum { AMOUNT = 1 << 20 };

static char sent[AMOUNT], got[AMOUNT];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *sends(void *fd)
{
    if (sw_send(*(int *)fd, sent, AMOUNT, 0) != AMOUNT || sw_shutdown(*(int *)fd, SHUT_WR))
        fail("send");
    return NULL;
}

static void exchange(struct sockaddr *address, socklen_t len)
{
    pthread_t thread;
    char end;
    int fd = sw_socket(address->sa_family, SOCK_STREAM, 0);

    if (fd < 0 || sw_connect(fd, address, len))
        fail("connect");
    if (pthread_create(&thread, NULL, sends, &fd))
        fail("a thread");
    if (sw_recv(fd, got, AMOUNT, MSG_WAITALL) != AMOUNT || memcmp(sent, got, AMOUNT))
        fail("recv");
    if (sw_read(fd, &end, 1) != 0)
        fail("the end");
    pthread_join(thread, NULL);
    sw_close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    struct sw_config config = { .mode = SW_INTERFACE, .interface = argv[1] };
    in_port_t port = htons((uint16_t)atoi(argv[4]));
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = port };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = port };

    for (int i = 0; i < AMOUNT; i++)
        sent[i] = (char)(i * 13 + i / 255);
    if (inet_pton(AF_INET, argv[2], &v4.sin_addr) != 1 || inet_pton(AF_INET6, argv[3], &v6.sin6_addr) != 1)
        return 2;
    int engine = sw_open(&config);
    if (engine < 0) {
        fprintf(stderr, "%s\n", sw_error());
        return 1;
    }
    exchange((struct sockaddr *)&v4, sizeof v4);
    exchange((struct sockaddr *)&v6, sizeof v6);

    /* Nobody listens on the next port; and there is no way to here. */
    int fd = sw_socket(AF_INET, SOCK_STREAM, 0);
    v4.sin_port = htons((uint16_t)(atoi(argv[4]) + 1));
    if (sw_connect(fd, (struct sockaddr *)&v4, sizeof v4) != -1 || errno != ECONNREFUSED)
        fail("refused");
    inet_pton(AF_INET, "203.0.113.1", &v4.sin_addr);
    if (sw_connect(fd, (struct sockaddr *)&v4, sizeof v4) != -1 || errno != ENETUNREACH)
        fail("unreachable");
    return sw_close(engine);
}
