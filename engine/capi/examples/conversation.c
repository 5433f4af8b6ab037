/*
 * A whole conversation with an engine that this program steps: it plays the peer, frame by frame, and moves the clock.
 *
 *     make library
 *     cc -Iengine/capi/include engine/capi/examples/conversation.c -Ltarget/release -lsynward -Wl,-rpath,$PWD/target/release
 *
 * No network, no privilege, no thread, and nothing random: every run is the same, down to the bytes of each frame.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <synward.h>

#define SECOND UINT64_C(1000000000)

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10 };
enum { ETHERNET = 14, IP = 20, TCP = 20, HEADERS = ETHERNET + IP + TCP };

static int engine;

/* What a segment says, and whether it comes from us. */
struct segment {
    unsigned flags;
    uint32_t seq;
    uint32_t ack;
    const char *data;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void check(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not as expected: %s\n", what);
        exit(1);
    }
}

static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static void put32(unsigned char *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t sum(const unsigned char *bytes, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    return sum;
}

static unsigned fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* A segment of the peer, 198.51.100.7 port 40000, to 192.0.2.1 port 80 arrives, and the engine acts on it. */
static void arrives(struct segment segment)
{
    static const unsigned char ethernet[ETHERNET] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00 };
    static const unsigned char addresses[8] = { 198, 51, 100, 7, 192, 0, 2, 1 };
    size_t len = segment.data ? strlen(segment.data) : 0;
    unsigned char frame[HEADERS + 1460] = { 0 };
    unsigned char *ip = frame + ETHERNET, *tcp = ip + IP;
    uint64_t now;

    memcpy(frame, ethernet, sizeof ethernet);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(IP + TCP + len));
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    memcpy(ip + 12, addresses, sizeof addresses);
    put16(ip + 10, fold(sum(ip, IP, 0)));

    put16(tcp, 40000);
    put16(tcp + 2, 80);
    put32(tcp + 4, segment.seq);
    put32(tcp + 8, segment.ack);
    tcp[12] = TCP / 4 << 4;
    tcp[13] = (unsigned char)segment.flags;
    put16(tcp + 14, 64240);
    if (len)
        memcpy(tcp + TCP, segment.data, len);
    put16(tcp + 16, fold(sum(tcp, TCP + len, sum(addresses, 8, IPPROTO_TCP + TCP + (uint32_t)len))));

    if (sw_frame_inject(engine, frame, HEADERS + len) || sw_step_now(engine, &now) || sw_step_run(engine, now))
        fail("a frame arrives");
}

/* The engine has sent just this, and nothing else, at this time. Where `seq` is not NULL, it is told the sequence number. */
static void leaves(uint64_t at, struct segment expected, uint32_t *seq, const char *what)
{
    unsigned char frame[2048];
    const unsigned char *ip = frame + ETHERNET, *tcp = ip + IP;
    size_t expected_len = expected.data ? strlen(expected.data) : 0;
    uint64_t sent_at;
    ssize_t len = sw_frame_take(engine, frame, sizeof frame, &sent_at, 0);

    if (len < 0)
        fail(what);
    size_t headers = ETHERNET + IP + (size_t)(tcp[12] >> 4) * 4;
    check(sent_at == at, what);
    check(frame[5] == 2 && frame[11] == 1 && ip[9] == IPPROTO_TCP, what);
    check(tcp[13] == expected.flags, what);
    if (seq)
        *seq = get32(tcp + 4);
    else
        check(get32(tcp + 4) == expected.seq, what);
    check(!(expected.flags & ACK) || get32(tcp + 8) == expected.ack, what);
    check((size_t)len - headers == expected_len, what);
    check(!expected_len || memcmp(frame + headers, expected.data, expected_len) == 0, what);
    check(sw_frame_take(engine, frame, sizeof frame, NULL, 0) == -1 && errno == EAGAIN, "nothing else leaves");
    printf("%6.3f s  %s\n", (double)at / (double)SECOND, what);
}

int main(void)
{
    struct sw_config config = { .mode = SW_STEPPED, .addresses = "192.0.2.1", .seed = 1 };
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(80) }, peer;
    socklen_t peer_len = sizeof peer;
    uint32_t iss;
    uint64_t due;
    char bytes[64];

    engine = sw_open(&config);
    if (engine < 0) {
        fprintf(stderr, "sw_open: %s\n", sw_error());
        return 1;
    }
    int listener = sw_socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || sw_bind(listener, (struct sockaddr *)&here, sizeof here) || sw_listen(listener, 8))
        fail("a listener");

    /* The handshake. */
    arrives((struct segment){ SYN, 1000, 0, NULL });
    leaves(0, (struct segment){ SYN | ACK, 0, 1001, NULL }, &iss, "SYN-ACK");
    check(sw_accept(listener, NULL, NULL) == -1 && errno == EAGAIN, "nobody to accept before the third segment");
    check(sw_step_deadline(engine, &due) == 1 && due <= SECOND, "the SYN-ACK is due again within a second");
    if (sw_step_run(engine, SECOND))
        fail("a second passes");
    leaves(SECOND, (struct segment){ SYN | ACK, iss, 1001, NULL }, NULL, "SYN-ACK again");
    arrives((struct segment){ ACK, 1001, iss + 1, NULL });
    int client = sw_accept(listener, (struct sockaddr *)&peer, &peer_len);
    if (client < 0)
        fail("accept");
    check(ntohs(peer.sin_port) == 40000 && ntohl(peer.sin_addr.s_addr) == 0xc6336407, "accept tells who the peer is");

    /* Data in, data out. */
    check(sw_read(client, bytes, sizeof bytes) == -1 && errno == EAGAIN, "nothing to read yet");
    arrives((struct segment){ PSH | ACK, 1001, iss + 1, "hello" });
    leaves(SECOND, (struct segment){ ACK, iss + 1, 1006, NULL }, NULL, "acknowledgment of hello");
    check(sw_read(client, bytes, sizeof bytes) == 5 && memcmp(bytes, "hello", 5) == 0, "hello is read");
    check(sw_write(client, "world", 5) == 5, "world is written");
    leaves(SECOND, (struct segment){ PSH | ACK, iss + 1, 1006, "world" }, NULL, "world");
    arrives((struct segment){ ACK, 1006, iss + 6, NULL });

    /* We close first, so TIME-WAIT is ours. */
    if (sw_close(client))
        fail("close");
    leaves(SECOND, (struct segment){ FIN | ACK, iss + 6, 1006, NULL }, NULL, "FIN");
    arrives((struct segment){ ACK, 1006, iss + 7, NULL });
    arrives((struct segment){ FIN | ACK, 1006, iss + 7, NULL });
    leaves(SECOND, (struct segment){ ACK, iss + 7, 1007, NULL }, NULL, "acknowledgment of the peer's FIN");
    if (sw_step_run(engine, 30 * SECOND))
        fail("half a minute passes");
    arrives((struct segment){ FIN | ACK, 1006, iss + 7, NULL });
    leaves(30 * SECOND, (struct segment){ ACK, iss + 7, 1007, NULL }, NULL, "a FIN sent again is acknowledged in TIME-WAIT");
    check(sw_step_deadline(engine, &due) == 1 && due <= 90 * SECOND, "it lasts for another minute");
    if (sw_step_run(engine, 90 * SECOND))
        fail("a minute passes");
    check(sw_step_deadline(engine, &due) == 0, "no timer is left");
    arrives((struct segment){ FIN | ACK, 1006, iss + 7, NULL });
    leaves(90 * SECOND, (struct segment){ RST, iss + 7, 0, NULL }, NULL, "and then nobody is there");

    if (sw_close(listener) || sw_close(engine))
        fail("close");
    puts("as expected");
    return 0;
}
