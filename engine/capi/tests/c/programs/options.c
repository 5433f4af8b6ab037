/* Options: what they are, what they become, and what is refused. */
#include "both.h"

#include <stddef.h>

static int set(int fd, int level, int name, int value)
{
    return S(setsockopt)(fd, level, name, &value, sizeof value);
}

static int get(int fd, int level, int name)
{
    int value = -77;
    socklen_t len = sizeof value;

    if (S(getsockopt)(fd, level, name, &value, &len))
        return -errno;
    return len == sizeof value ? value : -1000;
}

static void told(const char *what, int value)
{
    printf("%s = %d\n", what, value);
}

/* Sets an option, and tells what came of it and what the value is then. */
static void try(int fd, const char *what, int level, int name, int value)
{
    int outcome = set(fd, level, name, value) ? errno : 0;
    printf("%s %d: %s, %d\n", what, value, outcome ? strerrorname_np(outcome) : "set", get(fd, level, name));
}

#define TRY(fd, level, name, value) try(fd, #name, level, name, value)
#define GET(fd, level, name) told(#name, get(fd, level, name))

static void numbers(int fd)
{
    GET(fd, SOL_SOCKET, SO_TYPE);
    GET(fd, SOL_SOCKET, SO_DOMAIN);
    GET(fd, SOL_SOCKET, SO_PROTOCOL);
    GET(fd, SOL_SOCKET, SO_ACCEPTCONN);
    GET(fd, SOL_SOCKET, SO_ERROR);
    GET(fd, SOL_SOCKET, SO_REUSEADDR);
    GET(fd, SOL_SOCKET, SO_KEEPALIVE);
    GET(fd, SOL_SOCKET, SO_RCVLOWAT);
    GET(fd, SOL_SOCKET, SO_SNDLOWAT);
    GET(fd, SOL_SOCKET, SO_RCVBUF);
    GET(fd, SOL_SOCKET, 9999);
    GET(fd, IPPROTO_TCP, TCP_NODELAY);
    GET(fd, IPPROTO_TCP, TCP_CORK);
    GET(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    GET(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    GET(fd, IPPROTO_TCP, TCP_KEEPCNT);
    GET(fd, IPPROTO_TCP, TCP_LINGER2);
    GET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
    GET(fd, IPPROTO_TCP, TCP_QUICKACK);
    GET(fd, IPPROTO_TCP, TCP_MAXSEG);
    GET(fd, IPPROTO_TCP, 9999);
    GET(fd, IPPROTO_IP, IP_TOS);
    GET(fd, IPPROTO_IP, IP_TTL);
    GET(fd, 9999, 1);
}

static void settings(int fd)
{
    TRY(fd, SOL_SOCKET, SO_REUSEADDR, 5);
    TRY(fd, SOL_SOCKET, SO_REUSEADDR, 0);
    TRY(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    TRY(fd, SOL_SOCKET, SO_RCVLOWAT, 0);
    TRY(fd, SOL_SOCKET, SO_RCVLOWAT, 4);
    /* As much as there can be: half of the largest buffer, whatever that is here. */
    TELL(set(fd, SOL_SOCKET, SO_RCVLOWAT, -1));
    TELL_VALUE(get(fd, SOL_SOCKET, SO_RCVLOWAT) > 1 << 20 && get(fd, SOL_SOCKET, SO_RCVLOWAT) < 1 << 30);
    TRY(fd, SOL_SOCKET, SO_RCVLOWAT, 1);
    TRY(fd, SOL_SOCKET, SO_RCVBUF, 1);
    TRY(fd, SOL_SOCKET, SO_RCVBUF, 65536);
    TRY(fd, SOL_SOCKET, SO_SNDBUF, 1);
    TRY(fd, SOL_SOCKET, SO_SNDBUF, 65536);
    TRY(fd, SOL_SOCKET, SO_TYPE, 1);
    TRY(fd, SOL_SOCKET, SO_ERROR, 1);
    TRY(fd, SOL_SOCKET, SO_ACCEPTCONN, 1);
    TRY(fd, SOL_SOCKET, 9999, 1);
    TRY(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    TRY(fd, IPPROTO_TCP, TCP_NODELAY, 0);
    TRY(fd, IPPROTO_TCP, TCP_CORK, 1);
    TRY(fd, IPPROTO_TCP, TCP_CORK, 0);
    for (int name = TCP_KEEPIDLE; name <= TCP_KEEPCNT; name++) {
        TRY(fd, IPPROTO_TCP, name, 0);
        TRY(fd, IPPROTO_TCP, name, -1);
        TRY(fd, IPPROTO_TCP, name, 1);
        TRY(fd, IPPROTO_TCP, name, 127);
        TRY(fd, IPPROTO_TCP, name, 128);
        TRY(fd, IPPROTO_TCP, name, 32767);
        TRY(fd, IPPROTO_TCP, name, 32768);
    }
    TRY(fd, IPPROTO_TCP, TCP_LINGER2, -1);
    TRY(fd, IPPROTO_TCP, TCP_LINGER2, 0);
    TRY(fd, IPPROTO_TCP, TCP_LINGER2, 7);
    TRY(fd, IPPROTO_TCP, TCP_LINGER2, 121);
    TRY(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
    TRY(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
    TRY(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
    TRY(fd, IPPROTO_TCP, TCP_MAXSEG, 87);
    TRY(fd, IPPROTO_TCP, TCP_MAXSEG, 32768);
    TRY(fd, IPPROTO_TCP, TCP_MAXSEG, -1);
    TRY(fd, IPPROTO_TCP, TCP_MAXSEG, 700);
    TRY(fd, IPPROTO_TCP, TCP_INFO, 1);
    TRY(fd, IPPROTO_TCP, 9999, 1);
    TRY(fd, IPPROTO_IP, IP_TOS, 0x10);
    TRY(fd, IPPROTO_IP, IP_TTL, 0);
    TRY(fd, IPPROTO_IP, IP_TTL, 256);
    TRY(fd, IPPROTO_IP, IP_TTL, 9);
    TRY(fd, IPPROTO_IP, IP_TTL, -1);
    TRY(fd, 9999, 1, 1);
}

static void structures(int fd)
{
    struct linger linger = { 1, 7 };
    struct timeval time = { 1, 500000 };
    socklen_t len = sizeof linger;
    char name[32];

    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_LINGER, &linger, 4));
    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    memset(&linger, 0, sizeof linger);
    TELL(S(getsockopt)(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
    TELL_VALUE(len);
    TELL_VALUE(linger.l_onoff);
    TELL_VALUE(linger.l_linger);
    linger.l_onoff = 0;
    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    for (int option = SO_RCVTIMEO; option; option = option == SO_RCVTIMEO ? SO_SNDTIMEO : 0) {
        struct timeval bad = { 1, 1000000 }, got = { 9, 9 };
        len = sizeof got;
        TELL(S(getsockopt)(fd, SOL_SOCKET, option, &got, &len));
        TELL_VALUE(got.tv_sec + got.tv_usec);
        TELL(S(setsockopt)(fd, SOL_SOCKET, option, &time, sizeof time));
        TELL(S(setsockopt)(fd, SOL_SOCKET, option, &bad, sizeof bad));
        TELL(S(setsockopt)(fd, SOL_SOCKET, option, &time, 8));
        TELL(S(getsockopt)(fd, SOL_SOCKET, option, &got, &len));
        TELL_VALUE(len);
        TELL_VALUE(got.tv_sec);
        TELL_VALUE(got.tv_usec);
    }
    TELL(S(setsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    len = sizeof name;
    TELL(S(getsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    TELL_VALUE(len);
    TELL_VALUE(strcmp(name, "reno"));
    len = 3;
    TELL(S(getsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    TELL_VALUE(len);
    TELL(S(setsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, "nonsense", 8));
    TELL(S(setsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 0));
}

static void arguments(int fd)
{
    int value = 1;
    char small[2];
    socklen_t len = sizeof value;

    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, nothing, sizeof value));
    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 3));
    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 0));
    TELL(S(setsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, &value, (socklen_t)-1));
    TELL(S(setsockopt)(fd, IPPROTO_TCP, TCP_NODELAY, nothing, sizeof value));
    TELL(S(setsockopt)(fd, IPPROTO_TCP, TCP_NODELAY, &value, 3));
    TELL(S(setsockopt)(fd, IPPROTO_TCP, TCP_CONGESTION, nothing, 4));
    TELL(S(getsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, nothing, &len));
    TELL(S(getsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, &value, nothing));
    len = (socklen_t)-1;
    TELL(S(getsockopt)(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
    len = sizeof small;
    TELL(S(getsockopt)(fd, SOL_SOCKET, SO_TYPE, small, &len));
    TELL_VALUE(len);
    len = sizeof small;
    TELL(S(getsockopt)(fd, IPPROTO_TCP, TCP_KEEPIDLE, small, &len));
    TELL_VALUE(len);
}

static void prepare(int listener, int client)
{
    /* Set before there is a connection, it goes for the connection; and what comes from a listener has the listener's. */
    set(listener, IPPROTO_TCP, TCP_NODELAY, 1);
    set(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(listener, IPPROTO_TCP, TCP_KEEPIDLE, 99);
    set(client, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(client, IPPROTO_TCP, TCP_MAXSEG, 600);
}

static void of_connections(void)
{
    struct joined joined = join_with(prepare);

    GET(joined.listener, SOL_SOCKET, SO_ACCEPTCONN);
    GET(joined.server, SOL_SOCKET, SO_ACCEPTCONN);
    GET(joined.server, IPPROTO_TCP, TCP_NODELAY);
    GET(joined.server, SOL_SOCKET, SO_KEEPALIVE);
    GET(joined.server, IPPROTO_TCP, TCP_KEEPIDLE);
    GET(joined.client, IPPROTO_TCP, TCP_KEEPCNT);
    TRY(joined.client, IPPROTO_TCP, TCP_NODELAY, 1);
    TRY(joined.client, IPPROTO_TCP, TCP_CORK, 1);
    TRY(joined.client, IPPROTO_TCP, TCP_CORK, 0);
    /* Less than what may be sent at once: with timestamps, twelve bytes go to options. */
    TELL_VALUE(get(joined.client, IPPROTO_TCP, TCP_MAXSEG));
    TELL_VALUE(get(joined.server, IPPROTO_TCP, TCP_MAXSEG));
    part(joined);
}

/* Corked, a small segment waits; uncorked, it goes. */
static void corking(void)
{
    struct joined joined = join();
    char bytes[8];

    set(joined.client, IPPROTO_TCP, TCP_CORK, 1);
    TELL(S(write)(joined.client, "wait", 4));
    settle();
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    set(joined.client, IPPROTO_TCP, TCP_CORK, 0);
    until_unread(joined.server, 4);
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    part(joined);
}

static void low_water(void)
{
    struct joined joined = join();
    struct pollfd asked = { .fd = joined.server, .events = POLLIN };
    char bytes[8];

    set(joined.server, SOL_SOCKET, SO_RCVLOWAT, 4);
    TELL(S(write)(joined.client, "abc", 3));
    until_unread(joined.server, 3);
    TELL(S(poll)(&asked, 1, 0));
    TELL(S(write)(joined.client, "d", 1));
    until_unread(joined.server, 4);
    TELL(S(poll)(&asked, 1, 0));
    TELL(S(read)(joined.server, bytes, 2));
    TELL(S(poll)(&asked, 1, 0));
    /* A socket that does not wait gives what there is. */
    TELL(S(read)(joined.server, bytes, 8));
    part(joined);
}

static void info(void)
{
    struct joined joined = join();
    struct tcp_info info;
    socklen_t len = sizeof info;

    memset(&info, 0xff, sizeof info);
    TELL(S(getsockopt)(joined.server, IPPROTO_TCP, TCP_INFO, &info, &len));
    TELL_VALUE(len == sizeof info);
    TELL_VALUE(info.tcpi_state);
    TELL_VALUE(info.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE));
    TELL_VALUE(info.tcpi_ca_state);
    TELL_VALUE(info.tcpi_retransmits);
    TELL_VALUE(info.tcpi_reordering);
    TELL_VALUE(info.tcpi_unacked);
    TELL_VALUE(info.tcpi_total_retrans);
    TELL_VALUE(info.tcpi_snd_cwnd);
    TELL_VALUE(info.tcpi_snd_ssthresh);
    TELL_VALUE(info.tcpi_rto > 0 && info.tcpi_snd_mss > 0);
    len = 1;
    TELL(S(getsockopt)(joined.server, IPPROTO_TCP, TCP_INFO, &info, &len));
    TELL_VALUE(len);
    len = 4096;
    static char large[4096];
    TELL(S(getsockopt)(joined.listener, IPPROTO_TCP, TCP_INFO, large, &len));
    TELL_VALUE(large[0]);
    TELL_VALUE(((struct tcp_info *)(void *)large)->tcpi_sacked);
    TELL_VALUE(len >= 232);
    S(shutdown)(joined.client, SHUT_WR);
    until(joined.server, POLLRDHUP);
    len = sizeof info;
    TELL(S(getsockopt)(joined.server, IPPROTO_TCP, TCP_INFO, &info, &len));
    TELL_VALUE(info.tcpi_state);
    part(joined);

    int fd = tcp(AT_CLIENT);
    len = sizeof info;
    TELL(S(getsockopt)(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    TELL_VALUE(info.tcpi_state);
    S(close)(fd);
}

int main(void)
{
    begin();
    int fd = tcp(AT_CLIENT);
    numbers(fd);
    settings(fd);
    structures(fd);
    arguments(fd);
    S(close)(fd);
    of_connections();
    corking();
    low_water();
    info();
    return 0;
}
