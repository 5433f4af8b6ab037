/* From socket to close: what each call says when it is not the time for it. */
#include "both.h"

static void descriptors(void)
{
    struct sockaddr_in any = to(SERVER, 0);
    socklen_t len = sizeof any;
    char byte = 0;
    int closed = tcp(AT_SERVER), value = 1;

    TELL(S(close)(closed));
    for (int round = 0; round < 2; round++) {
        int fd = round ? -1 : closed;
        TELL(S(close)(fd));
        TELL(S(bind)(fd, address(&any), sizeof any));
        TELL(S(listen)(fd, 1));
        TELL(S(accept)(fd, NULL, NULL));
        TELL(S(connect)(fd, address(&any), sizeof any));
        TELL(S(shutdown)(fd, SHUT_WR));
        TELL(S(read)(fd, &byte, 1));
        TELL(S(read)(fd, nothing, 1));
        TELL(S(write)(fd, &byte, 1));
        TELL(S(recv)(fd, &byte, 1, 0));
        TELL(S(send)(fd, &byte, 1, 0));
        TELL(S(getsockname)(fd, address(&any), &len));
        TELL(S(getpeername)(fd, address(&any), &len));
        TELL(S(setsockopt)(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value));
        TELL(S(getsockopt)(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len));
        TELL(S(fcntl)(fd, F_GETFL, 0));
        TELL(S(ioctl)(fd, FIONREAD, &value));
    }
}

static void creating(void)
{
    TELL(S(socket)(AF_INET, 99, 0));
    TELL(S(socket)(999, SOCK_STREAM, 0));
    TELL(S(socket)(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    TELL(S(socket)(AF_INET, SOCK_STREAM | 0x100000, 0));
    int fd = S(socket)(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    TELL(S(fcntl)(fd, F_GETFL, 0));
    TELL(S(fcntl)(fd, F_SETFL, O_NONBLOCK));
    TELL(S(fcntl)(fd, F_GETFL, 0));
    TELL(S(fcntl)(fd, F_GETFD, 0));
    TELL(S(fcntl)(fd, F_SETFD, FD_CLOEXEC));
    TELL(S(fcntl)(fd, F_GETFD, 0));
    TELL(S(fcntl)(fd, 9999, 0));
    S(close)(fd);
    fd = S(socket)(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    TELL(S(fcntl)(fd, F_GETFL, 0));
    TELL(S(fcntl)(fd, F_GETFD, 0));
    S(close)(fd);
}

static void binding(void)
{
    struct sockaddr_in any = to(SERVER, 0), foreign = to("203.0.113.9", 0), taken;
    struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
    socklen_t len = sizeof taken;
    int fd = tcp(AT_SERVER), other = tcp(AT_SERVER), on = 1;

    TELL(S(bind)(fd, NULL, sizeof any));
    TELL(S(bind)(fd, address(&any), 3));
    TELL(S(bind)(fd, address(&any), 0));
    TELL(S(bind)(fd, address(&any), 4096));
    TELL(S(bind)(fd, (struct sockaddr *)&six, sizeof six));
    TELL(S(bind)(fd, address(&foreign), sizeof foreign));
    TELL(S(getsockname)(fd, address(&taken), &len));
    TELL_VALUE(taken.sin_family == AF_INET && taken.sin_port == 0 && taken.sin_addr.s_addr == 0);
    TELL(S(bind)(fd, address(&any), sizeof any));
    TELL(S(bind)(fd, address(&any), sizeof any));
    TELL(S(getsockname)(fd, address(&taken), &len));
    TELL_VALUE(len);
    TELL_VALUE(taken.sin_port != 0);
    TELL(S(bind)(other, address(&taken), sizeof taken));
    /* Two that are tolerant share a port until one of them listens. */
    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    TELL(S(bind)(other, address(&taken), sizeof taken));
    TELL(S(setsockopt)(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    TELL(S(bind)(other, address(&taken), sizeof taken));
    TELL(S(listen)(fd, 1));
    TELL(S(listen)(other, 1));
    TELL(S(close)(fd));
    TELL(S(listen)(other, 1));
    S(close)(other);
    /* An address cut short says how long it is. */
    fd = tcp(AT_SERVER);
    len = 4;
    TELL(S(getsockname)(fd, address(&taken), &len));
    TELL_VALUE(len);
    TELL(S(getsockname)(fd, address(&taken), NULL));
    len = sizeof taken;
    TELL(S(getsockname)(fd, NULL, &len));
    len = (socklen_t)-1;
    TELL(S(getsockname)(fd, address(&taken), &len));
    S(close)(fd);
}

static void listening(void)
{
    struct sockaddr_in where, peer;
    socklen_t len = sizeof peer;
    char byte = 0;
    int fd = tcp(AT_SERVER), value = -1;

    TELL(S(accept)(fd, NULL, NULL));
    TELL(S(accept4)(fd, NULL, NULL, 12345));
    TELL(S(listen)(fd, 8));
    TELL(S(getsockname)(fd, address(&peer), &len));
    TELL_VALUE(peer.sin_port != 0);
    TELL(S(listen)(fd, 9));
    TELL(S(accept)(fd, NULL, NULL));
    TELL(S(read)(fd, &byte, 1));
    TELL(S(send)(fd, &byte, 1, MSG_NOSIGNAL));
    TELL(S(ioctl)(fd, FIONREAD, &value));
    TELL(S(ioctl)(fd, SIOCOUTQ, &value));
    TELL(S(connect)(fd, address(&peer), sizeof peer));
    TELL(S(getpeername)(fd, address(&peer), &len));
    TELL(S(shutdown)(fd, SHUT_WR));
    TELL(S(accept)(fd, NULL, NULL));
    TELL(S(shutdown)(fd, SHUT_RD));
    TELL(S(accept)(fd, NULL, NULL));
    S(close)(fd);

    struct joined joined = join();
    TELL(S(listen)(joined.server, 1));
    TELL(S(accept)(joined.client, NULL, NULL));
    TELL(S(bind)(joined.client, address(&peer), sizeof peer));
    part(joined);

    /* Where accept tells who came. */
    int waiting = listener(&where), client = tcp(AT_CLIENT);
    S(connect)(client, address(&where), sizeof where);
    until(waiting, POLLIN);
    memset(&peer, 0, sizeof peer);
    len = sizeof peer;
    fd = S(accept4)(waiting, address(&peer), &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    TELL_VALUE(len);
    TELL_VALUE(peer.sin_addr.s_addr == to(CLIENT, 0).sin_addr.s_addr);
    TELL(S(fcntl)(fd, F_GETFL, 0));
    TELL(S(fcntl)(fd, F_GETFD, 0));
    S(close)(client);
    S(close)(fd);
    S(close)(waiting);
    settle();
}

static void connecting(void)
{
    struct sockaddr_in where, end, nobody = { .sin_family = AF_UNSPEC };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    socklen_t len = sizeof end;
    int waiting = listener(&where), fd = tcp(AT_CLIENT);
    char byte = 0;

    TELL(S(getpeername)(fd, address(&end), &len));
    TELL(S(connect)(fd, NULL, sizeof where));
    TELL(S(connect)(fd, address(&where), 1));
    TELL(S(connect)(fd, address(&where), 8));
    TELL(S(connect)(fd, (struct sockaddr *)&six, sizeof six));
    TELL(S(read)(fd, &byte, 1));
    TELL(S(connect)(fd, address(&where), sizeof where));
    until(fd, POLLOUT);
    TELL(S(connect)(fd, address(&where), sizeof where));
    TELL(S(connect)(fd, address(&where), sizeof where));
    TELL(S(getpeername)(fd, address(&end), &len));
    TELL_VALUE(end.sin_port == where.sin_port && end.sin_addr.s_addr == where.sin_addr.s_addr);
    TELL(S(getsockname)(fd, address(&end), &len));
    TELL_VALUE(end.sin_port != 0 && end.sin_addr.s_addr == to(CLIENT, 0).sin_addr.s_addr);
    /* The connection is taken from it, and it can have another. */
    TELL(S(connect)(fd, address(&nobody), sizeof nobody));
    settle();
    TELL(S(getpeername)(fd, address(&end), &len));
    TELL(S(read)(fd, &byte, 1));
    TELL(S(connect)(fd, address(&where), sizeof where));
    until(fd, POLLOUT);
    TELL(S(send)(fd, "x", 1, 0));
    S(close)(fd);
    S(close)(waiting);
    settle();
}

static void refused(void)
{
    struct sockaddr_in where;
    socklen_t len;
    char byte = 0;
    int error = -1;

    /* Nobody listens there any more. */
    S(close)(listener(&where));
    for (int round = 0; round < 3; round++) {
        int fd = tcp(AT_CLIENT);
        TELL(S(connect)(fd, address(&where), sizeof where));
        until(fd, POLLERR | POLLHUP | POLLIN | POLLOUT);
        len = sizeof error;
        switch (round) {
        case 0: /* The reason is told once, whoever asks. */
            TELL(S(getsockopt)(fd, SOL_SOCKET, SO_ERROR, &error, &len));
            TELL_VALUE(error);
            TELL(S(getsockopt)(fd, SOL_SOCKET, SO_ERROR, &error, &len));
            TELL_VALUE(error);
            TELL(S(read)(fd, &byte, 1));
            TELL(S(connect)(fd, address(&where), sizeof where));
            break;
        case 1:
            TELL(S(read)(fd, &byte, 1));
            TELL(S(read)(fd, &byte, 1));
            TELL(S(send)(fd, &byte, 1, MSG_NOSIGNAL));
            break;
        case 2:
            TELL(S(connect)(fd, address(&where), sizeof where));
            /* And now it is as good as new. */
            TELL(S(connect)(fd, address(&where), sizeof where));
            until(fd, POLLERR);
            TELL(S(send)(fd, &byte, 1, MSG_NOSIGNAL));
            TELL(S(send)(fd, &byte, 1, MSG_NOSIGNAL));
            break;
        }
        TELL(S(close)(fd));
    }
}

/* A listener at which one connection waits, and where there is no room for another: it does not answer. */
static int full(struct sockaddr_in *where)
{
    int fd = tcp(AT_SERVER), first = tcp(AT_CLIENT);
    struct sockaddr_in any = to(SERVER, 0);
    socklen_t len = sizeof *where;

    S(bind)(fd, address(&any), sizeof any);
    S(listen)(fd, 0);
    S(getsockname)(fd, address(where), &len);
    S(connect)(first, address(where), sizeof *where);
    until(first, POLLOUT);
    until(fd, POLLIN);
    return fd;
}

static void in_progress(void)
{
    struct sockaddr_in where, end;
    socklen_t len = sizeof end;
    char byte = 0;
    int waiting = full(&where), fd = tcp(AT_CLIENT), value = -1;
    struct pollfd asked = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

    TELL(S(connect)(fd, address(&where), sizeof where));
    TELL(S(connect)(fd, address(&where), sizeof where));
    TELL(S(read)(fd, &byte, 1));
    TELL(S(write)(fd, &byte, 1));
    TELL(S(getpeername)(fd, address(&end), &len));
    TELL(S(getsockname)(fd, address(&end), &len));
    TELL_VALUE(end.sin_port != 0);
    TELL(S(ioctl)(fd, FIONREAD, &value));
    TELL_VALUE(value);
    TELL(S(ioctl)(fd, SIOCOUTQ, &value));
    TELL_VALUE(value);
    TELL(S(poll)(&asked, 1, 0));
    TELL(S(listen)(fd, 1));
    /* Shut down, it is as if it had never begun, but for the reason that is told once. */
    TELL(S(shutdown)(fd, SHUT_WR));
    TELL(S(poll)(&asked, 1, 0));
    TELL_VALUE(asked.revents);
    TELL(S(read)(fd, &byte, 1));
    TELL(S(read)(fd, &byte, 1));
    TELL(S(poll)(&asked, 1, 0));
    TELL_VALUE(asked.revents);
    TELL(S(connect)(fd, address(&where), sizeof where));
    S(close)(fd);
    S(close)(waiting);
    settle();
}

static void shutting_down(void)
{
    char bytes[8];
    int fd = tcp(AT_CLIENT);

    TELL(S(shutdown)(fd, SHUT_RDWR));
    TELL(S(shutdown)(fd, 99));
    S(close)(fd);

    struct joined joined = join();
    TELL(S(shutdown)(joined.client, SHUT_WR));
    TELL(S(shutdown)(joined.client, SHUT_WR));
    TELL(S(write)(joined.client, "x", 1));
    TELL_VALUE(pipes);
    TELL(S(send)(joined.client, "x", 1, MSG_NOSIGNAL));
    TELL_VALUE(pipes);
    until(joined.server, POLLIN | POLLRDHUP);
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    /* The other direction still works. */
    TELL(S(write)(joined.server, "back", 4));
    until(joined.client, POLLIN);
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    TELL(S(shutdown)(joined.client, SHUT_RD));
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    part(joined);

    joined = join();
    TELL(S(shutdown)(joined.server, SHUT_RD));
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    TELL(S(write)(joined.server, "x", 1));
    part(joined);

    /* Both directions are over, in order: nobody is there. */
    joined = join();
    struct sockaddr_in end;
    socklen_t len = sizeof end;
    S(shutdown)(joined.client, SHUT_WR);
    until(joined.server, POLLRDHUP);
    S(close)(joined.server);
    until(joined.client, POLLHUP);
    TELL(S(getpeername)(joined.client, address(&end), &len));
    TELL(S(shutdown)(joined.client, SHUT_RD));
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    TELL(S(send)(joined.client, "x", 1, MSG_NOSIGNAL));
    S(close)(joined.client);
    S(close)(joined.listener);
    settle();
}

static void was_reset(void)
{
    char bytes[8];
    int error = -1;
    socklen_t len = sizeof error;

    struct joined joined = join();
    reset(joined.server);
    until(joined.client, POLLERR | POLLHUP);
    TELL(S(send)(joined.client, "x", 1, MSG_NOSIGNAL));
    TELL(S(send)(joined.client, "x", 1, MSG_NOSIGNAL));
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    S(close)(joined.client);
    S(close)(joined.listener);

    /* Bytes that came before it are lost, as the kernel has it, or still read: either way the reason is told. */
    joined = join();
    reset(joined.server);
    until(joined.client, POLLERR | POLLHUP);
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    TELL(S(read)(joined.client, bytes, sizeof bytes));
    TELL(S(getsockopt)(joined.client, SOL_SOCKET, SO_ERROR, &error, &len));
    TELL_VALUE(error);
    S(close)(joined.client);
    S(close)(joined.listener);

    /* A socket that is closed with bytes unread resets. */
    joined = join();
    TELL(S(write)(joined.client, "unread", 6));
    until(joined.server, POLLIN);
    TELL(S(close)(joined.server));
    until(joined.client, POLLERR);
    TELL(S(getsockopt)(joined.client, SOL_SOCKET, SO_ERROR, &error, &len));
    TELL_VALUE(error);
    S(close)(joined.client);
    S(close)(joined.listener);
    settle();
}

/* The same over IPv6. */
static void over_ipv6(void)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6 }, where, end;
    struct sockaddr_in v4 = to(SERVER, 0);
    socklen_t len = sizeof where;
    char bytes[8];
    int on = 1, family = 0;

    inet_pton(AF_INET6, SERVER6, &any.sin6_addr);
    at(AT_SERVER);
    int fd = S(socket)(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    TELL(S(setsockopt)(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
    TELL(S(getsockname)(fd, (struct sockaddr *)&end, &len));
    TELL_VALUE(len);
    TELL_VALUE(end.sin6_family == AF_INET6 && end.sin6_port == 0);
    TELL(S(bind)(fd, address(&v4), sizeof v4));
    TELL(S(bind)(fd, (struct sockaddr *)&any, 20));
    TELL(S(bind)(fd, (struct sockaddr *)&any, sizeof any));
    TELL(S(listen)(fd, 8));
    TELL(S(getsockname)(fd, (struct sockaddr *)&where, &len));
    len = sizeof family;
    TELL(S(getsockopt)(fd, SOL_SOCKET, SO_DOMAIN, &family, &len));
    TELL_VALUE(family);

    at(AT_CLIENT);
    int client = S(socket)(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    TELL(S(connect)(client, address(&v4), sizeof v4));
    TELL(S(connect)(client, (struct sockaddr *)&where, sizeof where));
    until(client, POLLOUT);
    until(fd, POLLIN);
    len = sizeof end;
    int server = S(accept)(fd, (struct sockaddr *)&end, &len);
    TELL_VALUE(len);
    TELL_VALUE(end.sin6_port != 0 && end.sin6_family == AF_INET6 && end.sin6_scope_id == 0);
    TELL(S(getpeername)(client, (struct sockaddr *)&end, &len));
    TELL_VALUE(memcmp(&end, &where, sizeof end));
    TELL(S(write)(client, "six", 3));
    until_unread(server, 3);
    TELL(S(read)(server, bytes, sizeof bytes));
    S(close)(client);
    S(close)(server);
    S(close)(fd);
    settle();
}

int main(void)
{
    begin();
    descriptors();
    creating();
    binding();
    listening();
    connecting();
    refused();
    in_progress();
    shutting_down();
    was_reset();
    over_ipv6();
    return 0;
}
