/* Calls that wait, and what ends it. */
#include "both.h"

#include <pthread.h>

/* A call in a thread of its own. */
struct call {
    pthread_t thread;
    int fd, flags;
    char *bytes;
    size_t len;
    long outcome;
    int error;
};

static void *accepts(void *at)
{
    struct call *call = at;
    call->outcome = S(accept)(call->fd, NULL, NULL);
    call->error = errno;
    return NULL;
}

static void *receives(void *at)
{
    struct call *call = at;
    call->outcome = S(recv)(call->fd, call->bytes, call->len, call->flags);
    call->error = errno;
    return NULL;
}

static void *sends(void *at)
{
    struct call *call = at;
    call->outcome = S(send)(call->fd, call->bytes, call->len, call->flags);
    call->error = errno;
    return NULL;
}

static void *polls(void *at)
{
    struct call *call = at;
    struct pollfd asked = { .fd = call->fd, .events = POLLIN };
    call->outcome = S(poll)(&asked, 1, 20000);
    call->error = errno;
    return NULL;
}

static void *collects(void *at)
{
    struct call *call = at;
    struct epoll_event event;
    call->outcome = S(epoll_wait)(call->fd, &event, 1, 20000);
    call->error = errno;
    return NULL;
}

static void begin_call(struct call *call, void *(*what)(void *))
{
    if (pthread_create(&call->thread, NULL, what, call))
        exit(1);
}

static long end_call(struct call *call)
{
    pthread_join(call->thread, NULL);
    errno = call->error;
    return call->outcome;
}

static void wait_with(int fd)
{
    S(fcntl)(fd, F_SETFL, 0);
}

static void limit(int fd, int option, int millis)
{
    struct timeval time = { millis / 1000, millis % 1000 * 1000 };
    S(setsockopt)(fd, SOL_SOCKET, option, &time, sizeof time);
}

static int connects(struct sockaddr_in *where)
{
    int fd = tcp(AT_CLIENT);
    wait_with(fd);
    TELL(S(connect)(fd, address(where), sizeof *where));
    return fd;
}

static void accepting(void)
{
    struct sockaddr_in where;
    int fd = listener(&where), clients[2];
    struct call calls[2] = { { .fd = fd }, { .fd = fd } };

    wait_with(fd);
    for (int i = 0; i < 2; i++)
        begin_call(&calls[i], accepts);
    for (int i = 0; i < 2; i++)
        clients[i] = connects(&where);
    for (int i = 0; i < 2; i++) {
        TELL_VALUE(end_call(&calls[i]) > 0);
        S(close)(clients[i]);
        S(close)((int)calls[i].outcome);
    }
    limit(fd, SO_RCVTIMEO, 30);
    TELL(S(accept)(fd, NULL, NULL));
    limit(fd, SO_RCVTIMEO, 0);
    begin_call(&calls[0], accepts);
    TELL(S(shutdown)(fd, SHUT_RD));
    TELL(end_call(&calls[0]));
    S(close)(fd);
}

static void connecting(void)
{
    struct sockaddr_in where;
    S(close)(listener(&where));
    S(close)(connects(&where));

    /* A listener with no room left does not answer. */
    int fd = tcp(AT_SERVER);
    struct sockaddr_in any = to(SERVER, 0);
    socklen_t len = sizeof where;
    S(bind)(fd, address(&any), sizeof any);
    S(listen)(fd, 0);
    S(getsockname)(fd, address(&where), &len);
    int first = connects(&where), second = tcp(AT_CLIENT);
    until(fd, POLLIN);
    wait_with(second);
    limit(second, SO_SNDTIMEO, 30);
    TELL(S(connect)(second, address(&where), sizeof where));
    TELL(S(send)(second, "x", 1, MSG_NOSIGNAL));
    S(close)(first);
    S(close)(second);
    S(close)(fd);
}

static void receiving(void)
{
    struct joined joined = join();
    char bytes[8] = "";
    struct call call = { .fd = joined.server, .bytes = bytes, .len = sizeof bytes };

    wait_with(joined.server);
    begin_call(&call, receives);
    TELL(S(send)(joined.client, "abc", 3, 0));
    TELL(end_call(&call));
    call.flags = MSG_WAITALL;
    begin_call(&call, receives);
    TELL(S(send)(joined.client, "abc", 3, 0));
    TELL(S(send)(joined.client, "defgh", 5, 0));
    TELL(end_call(&call));
    TELL_VALUE(memcmp(bytes, "abcdefgh", 8));
    TELL(S(recv)(joined.server, bytes, 8, MSG_DONTWAIT));
    limit(joined.server, SO_RCVTIMEO, 30);
    TELL(S(recv)(joined.server, bytes, 8, 0));
    TELL(S(send)(joined.client, "ij", 2, 0));
    TELL(S(recv)(joined.server, bytes, 8, MSG_WAITALL));
    limit(joined.server, SO_RCVTIMEO, 0);
    /* The end of the stream ends every wait. */
    begin_call(&call, receives);
    TELL(S(shutdown)(joined.client, SHUT_WR));
    TELL(end_call(&call));
    part(joined);

    /* So does one's own. */
    joined = join();
    call.fd = joined.server;
    wait_with(joined.server);
    begin_call(&call, receives);
    TELL(S(shutdown)(joined.server, SHUT_RDWR));
    TELL(end_call(&call));
    part(joined);

    /* And a reset. */
    joined = join();
    call.fd = joined.server;
    wait_with(joined.server);
    begin_call(&call, receives);
    reset(joined.client);
    TELL(end_call(&call));
    S(close)(joined.server);
    S(close)(joined.listener);
}

static void sending(void)
{
    static char much[8 << 20], got[1 << 20];
    struct joined joined = join();
    struct call call = { .fd = joined.client, .bytes = much, .len = sizeof much, .flags = MSG_NOSIGNAL };
    size_t received = 0;
    ssize_t count;

    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (char)(i * 7 + i / 251);
    wait_with(joined.client);
    wait_with(joined.server);
    begin_call(&call, sends);
    while (received < sizeof much && (count = S(read)(joined.server, got, sizeof got)) > 0) {
        if (memcmp(got, much + received, (size_t)count))
            puts("other bytes than were sent");
        received += (size_t)count;
    }
    TELL(end_call(&call));
    TELL_VALUE(received);
    /* Nobody reads: after a while there is a part, and in the end nothing. */
    limit(joined.client, SO_SNDTIMEO, 50);
    TELL_VALUE(S(send)(joined.client, much, sizeof much, 0) > 0);
    while (S(send)(joined.client, much, sizeof much, 0) > 0)
        ;
    TELL_VALUE(errno == EAGAIN);
    part(joined);

    /* A reset ends the wait; what was queued counts, and the next call tells. */
    joined = join();
    call.fd = joined.client;
    wait_with(joined.client);
    begin_call(&call, sends);
    until(joined.server, POLLIN);
    reset(joined.server);
    TELL_VALUE(end_call(&call) > 0);
    TELL(S(send)(joined.client, much, 1, MSG_NOSIGNAL));
    S(close)(joined.client);
    S(close)(joined.listener);
}

static void waiting(void)
{
    struct joined joined = join();
    struct call call = { .fd = joined.server };
    char byte;

    struct pollfd asked = { .fd = joined.server, .events = POLLIN };
    TELL(S(poll)(&asked, 1, 20));
    begin_call(&call, polls);
    TELL(S(send)(joined.client, "x", 1, 0));
    TELL(end_call(&call));
    TELL(S(read)(joined.server, &byte, 1));

    at(AT_SERVER);
    call.fd = S(epoll_create1)(0);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    TELL(S(epoll_ctl)(call.fd, EPOLL_CTL_ADD, joined.server, &event));
    TELL(S(epoll_ctl)(call.fd, EPOLL_CTL_ADD, joined.listener, &event));
    TELL(S(epoll_wait)(call.fd, &event, 1, 20));
    begin_call(&call, collects);
    TELL(S(send)(joined.client, "x", 1, 0));
    TELL(end_call(&call));
    TELL(S(epoll_wait)(call.fd, &event, 1, 0));
    begin_call(&call, collects);
    struct sockaddr_in where;
    socklen_t len = sizeof where;
    S(getsockname)(joined.listener, address(&where), &len);
    int client = connects(&where);
    TELL(end_call(&call));
    S(close)(client);
    S(close)(call.fd);
    part(joined);
}

/* A close that lingers comes back when the peer has everything. */
static void lingering(void)
{
    struct linger linger = { 1, 20 };
    struct joined joined = join();
    char bytes[8];

    S(setsockopt)(joined.client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    wait_with(joined.client);
    TELL(S(send)(joined.client, "last", 4, 0));
    TELL(S(close)(joined.client));
    until(joined.server, POLLRDHUP);
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    S(close)(joined.server);
    S(close)(joined.listener);
}

int main(void)
{
    begin();
    accepting();
    connecting();
    receiving();
    sending();
    waiting();
    lingering();
    return 0;
}
