/* Bytes in and out. */
#include "both.h"

static void reading(void)
{
    struct joined joined = join();
    char bytes[16] = "";

    TELL(S(read)(joined.server, bytes, sizeof bytes));
    TELL(S(read)(joined.server, nothing, 4));
    TELL(S(read)(joined.server, bytes, 0));
    TELL(S(recv)(joined.server, bytes, 0, 0));
    TELL(S(recv)(joined.server, bytes, sizeof bytes, MSG_DONTWAIT));
    TELL(S(write)(joined.client, "hello", 5));
    until_unread(joined.server, 5);
    TELL(S(read)(joined.server, nothing, 4));
    TELL(S(recv)(joined.server, bytes, 0, 0));
    TELL(S(recv)(joined.server, bytes, sizeof bytes, MSG_PEEK));
    TELL(S(recv)(joined.server, bytes, 2, MSG_PEEK));
    TELL_VALUE(memcmp(bytes, "hello", 5));
    TELL(S(read)(joined.server, bytes, 2));
    TELL(S(recv)(joined.server, bytes, sizeof bytes, MSG_PEEK | MSG_WAITALL));
    TELL(S(recv)(joined.server, bytes, 1, MSG_TRUNC));
    TELL(S(recv)(joined.server, bytes, sizeof bytes, MSG_WAITALL));
    TELL_VALUE(memcmp(bytes, "lo", 2));
    TELL(S(recv)(joined.server, bytes, sizeof bytes, MSG_OOB));
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    TELL(S(shutdown)(joined.client, SHUT_WR));
    until(joined.server, POLLRDHUP);
    TELL(S(recv)(joined.server, bytes, sizeof bytes, MSG_PEEK));
    TELL(S(recv)(joined.server, bytes, 0, 0));
    TELL(S(read)(joined.server, bytes, sizeof bytes));
    part(joined);
}

static void writing(void)
{
    struct joined joined = join();
    static char much[8 << 20];
    long sent = 0, got = 0;
    ssize_t count;

    TELL(S(write)(joined.client, nothing, 4));
    TELL(S(write)(joined.client, "", 0));
    TELL(S(send)(joined.client, "", 0, 0));
    TELL(S(send)(joined.client, "x", 1, MSG_MORE));
    TELL(S(write)(joined.client, "y", 1));
    until_unread(joined.server, 2);
    TELL(S(read)(joined.server, much, sizeof much));
    /* A peer that does not read: at some time there is no more room, and a socket that does not wait says so. */
    memset(much, 'z', sizeof much);
    while ((count = S(write)(joined.client, much, sizeof much)) > 0) {
        sent += count;
        settle();
    }
    TELL_VALUE(errno == EAGAIN);
    TELL_VALUE(sent > 0);
    struct pollfd asked = { .fd = joined.client, .events = POLLOUT };
    TELL(S(poll)(&asked, 1, 0));
    while (got < sent) {
        until(joined.server, POLLIN);
        count = S(read)(joined.server, much, sizeof much);
        for (ssize_t i = 0; i < count; i++)
            if (much[i] != 'z')
                return;
        got += count > 0 ? count : 0;
    }
    TELL_VALUE(got == sent);
    until(joined.client, POLLOUT);
    part(joined);

    int fd = tcp(AT_CLIENT), before = pipes;
    TELL(S(write)(fd, "x", 1));
    TELL_VALUE(pipes - before);
    TELL(S(send)(fd, "x", 1, MSG_NOSIGNAL));
    TELL_VALUE(pipes - before);
    TELL(S(write)(fd, NULL, 0));
    S(close)(fd);
}

static void vectors(void)
{
    struct joined joined = join();
    char first[3] = "", second[8] = "";
    struct iovec out[3] = { { "ab", 2 }, { NULL, 0 }, { "cdef", 4 } };
    struct iovec in[2] = { { first, 3 }, { second, 8 } };
    struct iovec bad[2] = { { "a", 1 }, { NULL, (size_t)-1 } };
    static struct iovec many[1025];

    TELL(S(readv)(joined.server, in, 2));
    TELL(S(writev)(joined.client, out, 3));
    until_unread(joined.server, 6);
    TELL(S(readv)(joined.server, in, 2));
    TELL_VALUE(memcmp(first, "abc", 3) == 0 && memcmp(second, "def", 3) == 0);
    TELL(S(writev)(joined.client, out, negative));
    TELL(S(writev)(joined.client, out, 0));
    TELL(S(writev)(joined.client, many, 1025));
    TELL(S(writev)(joined.client, nothing, 1));
    TELL(S(writev)(joined.client, bad, 2));
    TELL(S(readv)(joined.server, in, negative));
    TELL(S(readv)(joined.server, in, 0));
    TELL(S(readv)(joined.server, nothing, 1));
    part(joined);
}

static void messages(void)
{
    struct joined joined = join();
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    char first[3] = "", second[8] = "", control[64];
    struct iovec out[2] = { { "ab", 2 }, { "cdef", 4 } };
    struct iovec in[2] = { { first, 3 }, { second, 8 } };
    struct msghdr sent = { .msg_iov = out, .msg_iovlen = 2 };
    struct msghdr got = {
        .msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = in, .msg_iovlen = 2,
        .msg_control = control, .msg_controllen = sizeof control, .msg_flags = -1,
    };
    struct msghdr many = { .msg_iov = out, .msg_iovlen = 1025 };

    TELL(S(recvmsg)(joined.server, &got, 0));
    TELL(S(sendmsg)(joined.client, &sent, 0));
    until_unread(joined.server, 6);
    TELL(S(recvmsg)(joined.server, &got, MSG_PEEK));
    TELL(S(recvmsg)(joined.server, &got, 0));
    TELL_VALUE(memcmp(first, "abc", 3) == 0 && memcmp(second, "def", 3) == 0);
    TELL_VALUE(got.msg_namelen);
    TELL_VALUE(got.msg_controllen);
    TELL_VALUE(got.msg_flags);
    TELL(S(sendmsg)(joined.client, NULL, 0));
    TELL(S(recvmsg)(joined.server, NULL, 0));
    TELL(S(sendmsg)(joined.client, &many, 0));

    peer = to("203.0.113.9", 9);
    TELL(S(sendto)(joined.client, "abc", 3, 0, address(&peer), sizeof peer));
    TELL(S(sendto)(joined.client, "abc", 3, 0, NULL, 0));
    until_unread(joined.server, 6);
    TELL(S(recvfrom)(joined.server, second, sizeof second, 0, address(&peer), &len));
    TELL_VALUE(len);
    TELL(S(sendto)(joined.client, "abc", 3, 0, address(&peer), 4096));
    part(joined);
}

static void queues(void)
{
    struct joined joined = join();
    int value = -1;
    char bytes[16];

    TELL(S(ioctl)(joined.server, SIOCINQ, &value));
    TELL_VALUE(value);
    TELL(S(ioctl)(joined.client, SIOCOUTQ, &value));
    TELL_VALUE(value);
    TELL(S(write)(joined.client, "hello", 5));
    until_unread(joined.server, 5);
    TELL(S(ioctl)(joined.server, FIONREAD, &value));
    TELL_VALUE(value);
    TELL(S(ioctl)(joined.server, FIONREAD, NULL));
    TELL(S(ioctl)(joined.server, 0x12345, &value));
    value = 0;
    TELL(S(ioctl)(joined.server, FIONBIO, &value));
    TELL(S(fcntl)(joined.server, F_GETFL, 0));
    value = 1;
    TELL(S(ioctl)(joined.server, FIONBIO, &value));
    TELL(S(fcntl)(joined.server, F_GETFL, 0));
    TELL(S(read)(joined.server, bytes, 3));
    TELL(S(ioctl)(joined.server, FIONREAD, &value));
    TELL_VALUE(value);
    part(joined);
}

int main(void)
{
    begin();
    reading();
    writing();
    vectors();
    messages();
    queues();
    return 0;
}
