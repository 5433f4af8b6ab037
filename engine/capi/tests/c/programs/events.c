/* poll and epoll: what is told, when, and how often. */
#include "both.h"

static struct epoll_event events[8];

static int watch(int epoll, int fd, unsigned what)
{
    struct epoll_event event = { .events = what, .data.u32 = (unsigned)fd };
    return S(epoll_ctl)(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int change(int epoll, int fd, unsigned what)
{
    struct epoll_event event = { .events = what, .data.u32 = (unsigned)fd };
    return S(epoll_ctl)(epoll, EPOLL_CTL_MOD, fd, &event);
}

/* What epoll_wait tells now of the only socket that it looks at. */
static int collect(int epoll)
{
    int count = S(epoll_wait)(epoll, events, 8, 0);
    return count == 1 ? (int)(events[0].events & 0x7fffffff) : -count;
}

static int able(int fd, short asked)
{
    struct pollfd of = { .fd = fd, .events = asked };
    return S(poll)(&of, 1, 0) < 0 ? -errno : of.revents;
}

#define EVERYTHING (POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM)

static void polling(void)
{
    int fd = tcp(AT_SERVER);
    struct sockaddr_in where;
    char bytes[8];

    TELL_VALUE(able(fd, EVERYTHING));
    TELL_VALUE(able(fd, 0));
    TELL_VALUE(able(-1, EVERYTHING));
    S(close)(fd);
    TELL_VALUE(able(fd, EVERYTHING));
    TELL(S(poll)(nothing, 1, 0));
    TELL(S(poll)(nothing, 0, 0));
    fd = listener(&where);
    TELL_VALUE(able(fd, EVERYTHING));
    S(close)(fd);

    struct joined joined = join();
    TELL_VALUE(able(joined.listener, EVERYTHING));
    TELL_VALUE(able(joined.server, EVERYTHING));
    TELL_VALUE(able(joined.client, EVERYTHING));
    S(write)(joined.client, "x", 1);
    until(joined.server, POLLIN);
    TELL_VALUE(able(joined.server, EVERYTHING));
    S(shutdown)(joined.client, SHUT_WR);
    TELL_VALUE(able(joined.client, EVERYTHING));
    until(joined.server, POLLRDHUP);
    TELL_VALUE(able(joined.server, EVERYTHING));
    S(read)(joined.server, bytes, sizeof bytes);
    TELL_VALUE(able(joined.server, EVERYTHING));
    S(shutdown)(joined.server, SHUT_WR);
    TELL_VALUE(able(joined.server, EVERYTHING));
    until(joined.client, POLLHUP);
    TELL_VALUE(able(joined.client, EVERYTHING));
    TELL_VALUE(able(joined.client, 0));
    part(joined);

    joined = join();
    S(shutdown)(joined.server, SHUT_RD);
    TELL_VALUE(able(joined.server, EVERYTHING));
    reset(joined.server);
    until(joined.client, POLLERR);
    TELL_VALUE(able(joined.client, EVERYTHING));
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    TELL_VALUE(able(joined.client, EVERYTHING));
    S(close)(joined.client);
    S(close)(joined.listener);

    /* Several at once, some of them nothing. */
    joined = join();
    S(write)(joined.client, "x", 1);
    until(joined.server, POLLIN);
    struct pollfd several[4] = {
        { .fd = joined.server, .events = POLLIN },
        { .fd = -5, .events = POLLIN, .revents = 7 },
        { .fd = joined.client, .events = POLLIN, .revents = 7 },
        { .fd = joined.listener, .events = POLLIN },
    };
    TELL(S(poll)(several, 4, 0));
    TELL_VALUE(several[0].revents);
    TELL_VALUE(several[1].revents);
    TELL_VALUE(several[2].revents);
    part(joined);
}

static void controlling(void)
{
    struct joined joined = join();
    struct epoll_event event = { .events = EPOLLIN };

    at(AT_SERVER);
    TELL(S(epoll_create1)(12345));
    int epoll = S(epoll_create1)(EPOLL_CLOEXEC);
    TELL(S(fcntl)(epoll, F_GETFD, 0));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_ADD, joined.server, nothing));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_MOD, joined.server, &event));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_DEL, joined.server, NULL));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_ADD, joined.server, &event));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_ADD, joined.server, &event));
    TELL(S(epoll_ctl)(epoll, 99, joined.server, &event));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_ADD, epoll, &event));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_ADD, -1, &event));
    TELL(S(epoll_ctl)(-1, EPOLL_CTL_ADD, joined.server, &event));
    TELL(S(epoll_ctl)(joined.server, EPOLL_CTL_ADD, joined.listener, &event));
    TELL(S(epoll_wait)(epoll, events, 0, 0));
    TELL(S(epoll_wait)(epoll, events, negative, 0));
    TELL(S(epoll_wait)(joined.server, events, 8, 0));
    TELL(S(epoll_wait)(-1, events, 8, 0));
    TELL(S(epoll_wait)(epoll, events, 8, 0));
    TELL(S(accept)(epoll, NULL, NULL));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_DEL, joined.server, NULL));
    TELL(S(epoll_ctl)(epoll, EPOLL_CTL_DEL, joined.server, NULL));
    /* What is closed is not looked at any more. */
    TELL(watch(epoll, joined.server, EPOLLOUT));
    TELL_VALUE(collect(epoll));
    TELL(able(epoll, POLLIN));
    TELL(S(close)(joined.server));
    TELL_VALUE(collect(epoll));
    TELL(able(epoll, POLLIN));
    S(close)(epoll);
    TELL(S(epoll_wait)(epoll, events, 8, 0));
    S(close)(joined.client);
    S(close)(joined.listener);
    settle();
}

static void levels(void)
{
    struct joined joined = join();
    char bytes[8];

    at(AT_SERVER);
    int epoll = S(epoll_create1)(0);
    watch(epoll, joined.server, EPOLLIN);
    TELL_VALUE(collect(epoll));
    S(write)(joined.client, "abc", 3);
    until_unread(joined.server, 3);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(events[0].data.u32 == (unsigned)joined.server);
    TELL_VALUE(collect(epoll));
    S(read)(joined.server, bytes, 1);
    TELL_VALUE(collect(epoll));
    S(read)(joined.server, bytes, 8);
    TELL_VALUE(collect(epoll));
    change(epoll, joined.server, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    TELL_VALUE(collect(epoll));
    S(shutdown)(joined.client, SHUT_WR);
    until(joined.server, POLLRDHUP);
    TELL_VALUE(collect(epoll));
    change(epoll, joined.server, 0);
    TELL_VALUE(collect(epoll));
    S(shutdown)(joined.server, SHUT_WR);
    TELL_VALUE(collect(epoll));
    S(close)(epoll);
    part(joined);
}

static void edges(void)
{
    struct joined joined = join();
    static char much[1 << 20];
    char bytes[8];
    long sent = 0, got = 0;
    ssize_t count;

    at(AT_SERVER);
    int epoll = S(epoll_create1)(0);
    watch(epoll, joined.server, EPOLLIN | EPOLLRDHUP | EPOLLET);
    TELL_VALUE(collect(epoll));
    S(write)(joined.client, "abc", 3);
    until_unread(joined.server, 3);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    /* Reading a part is no edge; more bytes are. */
    S(read)(joined.server, bytes, 1);
    TELL_VALUE(collect(epoll));
    S(write)(joined.client, "d", 1);
    until_unread(joined.server, 3);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    /* A change of interest looks anew. */
    change(epoll, joined.server, EPOLLIN | EPOLLRDHUP | EPOLLET);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(shutdown)(joined.client, SHUT_WR);
    until(joined.server, POLLRDHUP);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(close)(epoll);
    part(joined);

    /* Room to send is an edge only after there was none. */
    joined = join();
    at(AT_SERVER);
    epoll = S(epoll_create1)(0);
    watch(epoll, joined.server, EPOLLOUT | EPOLLET);
    TELL_VALUE(collect(epoll));
    TELL(S(write)(joined.server, "abc", 3));
    until_unread(joined.client, 3);
    TELL_VALUE(collect(epoll));
    while ((count = S(write)(joined.server, much, sizeof much)) > 0) {
        sent += count;
        settle();
    }
    TELL_VALUE(collect(epoll));
    while (got < sent + 3) {
        until(joined.client, POLLIN);
        count = S(read)(joined.client, much, sizeof much);
        got += count > 0 ? count : 0;
    }
    until(joined.server, POLLOUT);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(close)(epoll);
    part(joined);
}

static void listeners(void)
{
    struct sockaddr_in where;
    int fd = listener(&where), clients[3], accepted[3];

    for (int edge = 0; edge < 2; edge++) {
        at(AT_SERVER);
        int epoll = S(epoll_create1)(0);
        watch(epoll, fd, EPOLLIN | (edge ? EPOLLET : 0));
        TELL_VALUE(collect(epoll));
        for (int i = 0; i < 3; i++) {
            clients[i] = tcp(AT_CLIENT);
            S(connect)(clients[i], address(&where), sizeof where);
            until_waiting(fd, (unsigned)i + 1);
            TELL_VALUE(collect(epoll));
        }
        for (int i = 0; i < 3; i++) {
            accepted[i] = S(accept)(fd, NULL, NULL);
            TELL_VALUE(collect(epoll));
        }
        for (int i = 0; i < 3; i++) {
            S(close)(clients[i]);
            S(close)(accepted[i]);
        }
        S(close)(epoll);
    }
    S(close)(fd);
    settle();
}

static void once(void)
{
    struct joined joined = join();
    char bytes[8];

    at(AT_SERVER);
    int epoll = S(epoll_create1)(0);
    watch(epoll, joined.server, EPOLLIN | EPOLLONESHOT);
    S(write)(joined.client, "a", 1);
    until_unread(joined.server, 1);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(write)(joined.client, "b", 1);
    until_unread(joined.server, 2);
    TELL_VALUE(collect(epoll));
    change(epoll, joined.server, EPOLLIN | EPOLLONESHOT);
    TELL_VALUE(collect(epoll));
    S(read)(joined.server, bytes, 8);
    change(epoll, joined.server, EPOLLIN | EPOLLONESHOT);
    TELL_VALUE(collect(epoll));
    reset(joined.client);
    until(joined.server, POLLERR);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(close)(epoll);
    S(close)(joined.server);
    S(close)(joined.listener);
}

static void connects(void)
{
    struct sockaddr_in where;
    int waiting = listener(&where), fd = tcp(AT_CLIENT);

    at(AT_CLIENT);
    int epoll = S(epoll_create1)(0);
    watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(connect)(fd, address(&where), sizeof where);
    until(fd, POLLOUT);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(close)(fd);
    S(close)(waiting);
    settle();
    fd = tcp(AT_CLIENT);
    watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    TELL_VALUE(collect(epoll));
    S(connect)(fd, address(&where), sizeof where);
    until(fd, POLLERR);
    TELL_VALUE(collect(epoll));
    TELL_VALUE(collect(epoll));
    S(close)(fd);
    S(close)(epoll);
}

/* Of many that are ready, each gets its turn. */
static void many(void)
{
    struct joined joined[3];

    at(AT_SERVER);
    int epoll = S(epoll_create1)(0);
    for (int i = 0; i < 3; i++) {
        joined[i] = join();
        watch(epoll, joined[i].server, EPOLLOUT);
    }
    int seen = 0;
    for (int i = 0; i < 3; i++) {
        TELL(S(epoll_wait)(epoll, events, 1, 0));
        for (int j = 0; j < 3; j++)
            seen |= (events[0].data.u32 == (unsigned)joined[j].server) << j;
    }
    TELL_VALUE(seen);
    TELL(S(epoll_wait)(epoll, events, 2, 0));
    TELL(S(epoll_wait)(epoll, events, 8, 0));
    S(close)(epoll);
    for (int i = 0; i < 3; i++)
        part(joined[i]);
}

int main(void)
{
    begin();
    polling();
    controlling();
    levels();
    edges();
    listeners();
    once();
    connects();
    many();
    return 0;
}
