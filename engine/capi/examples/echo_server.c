/*
 * An echo server on an interface, with epoll. Everything that it does not listen on stays with the kernel.
 *
 *     make library
 *     cc -Iengine/capi/include engine/capi/examples/echo_server.c -Ltarget/release -lsynward -Wl,-rpath,$PWD/target/release \
 *         -o echo_server
 *     sudo ./echo_server eth0 7
 *
 * It ends when its standard input does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <synward.h>

/* What a client has sent and not got back yet. */
struct client {
    int fd;
    size_t first, len;
    char bytes[16384];
};

static int epoll;

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = client };
    if (sw_epoll_ctl(epoll, operation, client->fd, &event))
        perror("epoll_ctl");
}

static void let_in(int listener)
{
    int fd;

    while ((fd = sw_accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *client = calloc(1, sizeof *client);
        if (!client) {
            sw_close(fd);
            continue;
        }
        client->fd = fd;
        watch(client, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* Gives back what it can. Returns 0 while the client is there. */
static int give_back(struct client *client)
{
    while (client->first < client->len) {
        ssize_t count = sw_send(client->fd, client->bytes + client->first, client->len - client->first, MSG_NOSIGNAL);
        if (count < 0)
            return errno == EAGAIN ? 0 : -1;
        client->first += (size_t)count;
    }
    client->first = client->len = 0;
    return 0;
}

static int serve(struct client *client)
{
    size_t had = client->len;

    if (!client->len) {
        ssize_t count = sw_read(client->fd, client->bytes, sizeof client->bytes);
        if (count == 0 || (count < 0 && errno != EAGAIN))
            return -1;
        client->len = count > 0 ? (size_t)count : 0;
    }
    if (give_back(client))
        return -1;
    /* One that does not take its bytes is not read from meanwhile. */
    if (!client->len != !had)
        watch(client, EPOLL_CTL_MOD, client->len ? EPOLLOUT : EPOLLIN);
    return 0;
}

/* Ends the server, whose threads all wait for something, with its standard input. */
static void *end_with_input(void *engine)
{
    char bytes[64];

    while (read(0, bytes, sizeof bytes) > 0)
        ;
    sw_close(*(int *)engine);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s INTERFACE PORT\n", argv[0]);
        return 2;
    }
    struct sw_config config = { .mode = SW_INTERFACE, .interface = argv[1] };
    int engine = sw_open(&config);
    if (engine < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], sw_error());
        return 1;
    }
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])) };
    int listener = sw_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || sw_bind(listener, (struct sockaddr *)&here, sizeof here) || sw_listen(listener, SOMAXCONN)) {
        perror("a listener");
        return 1;
    }
    epoll = sw_epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll < 0 || sw_epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) {
        perror("epoll");
        return 1;
    }
    pthread_t guard;
    if (pthread_create(&guard, NULL, end_with_input, &engine))
        return 1;
    puts("listening");
    fflush(stdout);

    struct epoll_event events[64];
    int count;
    while ((count = sw_epoll_wait(epoll, events, 64, -1)) >= 0)
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                let_in(listener);
            } else if (serve(client)) {
                sw_close(client->fd);
                free(client);
            }
        }
    /* The engine was closed, and epoll with it. */
    pthread_join(guard, NULL);
    return errno == EBADF ? 0 : 1;
}
