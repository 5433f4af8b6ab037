/* What only these calls have: engines, frames and time, and what they say to nonsense. */
#define SYNWARD
#include "both.h"

#define SECOND UINT64_C(1000000000)

static void expect(int holds, int line)
{
    if (!holds) {
        fprintf(stderr, "line %d does not hold; errno is %s\n", line, strerrorname_np(errno));
        exit(1);
    }
}

#define EXPECT(holds) expect(holds, __LINE__)
#define FAILS(call, error) EXPECT((errno = 0, (call) == -1) && errno == (error))

static void opening(void)
{
    struct sw_config config = { .mode = SW_STEPPED };

    FAILS(sw_socket(AF_INET, SOCK_STREAM, 0), ENETDOWN);
    FAILS(sw_epoll_create1(0), ENETDOWN);
    FAILS(sw_open(nothing), EFAULT);
    FAILS(sw_open(&config), EINVAL);
    EXPECT(strstr(sw_error(), "addresses") != NULL);
    config.addresses = SERVER;
    config.settings = "mtu=100";
    FAILS(sw_open(&config), EINVAL);
    EXPECT(strstr(sw_error(), "mtu") != NULL);
    config.settings = "\xff";
    FAILS(sw_open(&config), EINVAL);
    config.settings = "tcp_wonder=1";
    FAILS(sw_open(&config), EINVAL);
    EXPECT(strcmp(sw_error(), "tcp_wonder=1: there is no such setting") == 0);
    config = (struct sw_config){ .mode = SW_INTERFACE, .interface = "nothing0" };
    FAILS(sw_open(&config), ENODEV);
}

static void wrong_kinds(void)
{
    int engine = engines[AT_SERVER], fd = tcp(AT_SERVER), epoll = sw_epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    struct pollfd asked = { .fd = engine, .events = POLLIN };
    uint64_t time;
    char byte = 0;

    EXPECT(fd >= 1 << 30 && read(fd, &byte, 1) == -1 && errno == EBADF);
    FAILS(sw_read(0, &byte, 1), EBADF);
    FAILS(sw_read(engine, &byte, 1), ENOTSOCK);
    FAILS(sw_read(epoll, &byte, 1), ENOTSOCK);
    FAILS(sw_epoll_wait(engine, &event, 1, 0), EINVAL);
    FAILS(sw_epoll_ctl(epoll, EPOLL_CTL_ADD, engine, &event), EPERM);
    FAILS(sw_epoll_ctl(engine, EPOLL_CTL_ADD, fd, &event), EINVAL);
    FAILS(sw_fcntl(engine, F_GETFL, 0), EINVAL);
    FAILS(sw_ioctl(engine, FIONREAD, nothing), ENOTTY);
    FAILS(sw_use(fd), EINVAL);
    FAILS(sw_step_run(fd, 0), EINVAL);
    FAILS(sw_step_now(epoll, &time), EINVAL);
    FAILS(sw_step_now(-1, &time), EBADF);
    EXPECT(sw_poll(&asked, 1, 0) == 1 && asked.revents == POLLNVAL);
    /* An epoll instance looks at sockets of its own engine. */
    int foreign = tcp(AT_CLIENT);
    FAILS(sw_epoll_ctl(epoll, EPOLL_CTL_ADD, foreign, &event), EINVAL);
    EXPECT(sw_close(foreign) == 0 && sw_close(epoll) == 0 && sw_close(fd) == 0);
    /* The lowest number that is free is given next. */
    EXPECT(tcp(AT_SERVER) == fd && sw_close(fd) == 0);
}

static void frames_and_time(void)
{
    int engine = engines[AT_SERVER];
    struct sockaddr_in peer = to(CLIENT, 9);
    unsigned char frame[2048];
    uint64_t now, due, at_time;

    FAILS(sw_step_now(engine, nothing), EFAULT);
    EXPECT(sw_step_deadline(engine, &due) == 0);
    EXPECT(sw_step_now(engine, &now) == 0);
    EXPECT(sw_step_run(engine, now + SECOND) == 0);
    FAILS(sw_step_run(engine, now), EINVAL);
    FAILS(sw_frame_inject(engine, nothing, 60), EFAULT);
    EXPECT(sw_frame_inject(engine, frame, 0) == 0);
    FAILS(sw_frame_inject(engine, frame, sizeof frame * 16), ENOBUFS);
    FAILS(sw_frame_take(engine, frame, sizeof frame, NULL, -1), EAGAIN);
    /* Nonsense is dropped. */
    for (size_t len = 0; len < 200; len++) {
        memset(frame, (int)len, sizeof frame);
        EXPECT(sw_frame_inject(engine, frame, len) == 0);
        EXPECT(sw_step_run(engine, now + SECOND) == 0);
    }
    FAILS(sw_frame_take(engine, frame, sizeof frame, NULL, 0), EAGAIN);

    /* A frame for which there is no room stays, and says when it was sent. */
    int fd = tcp(AT_SERVER);
    FAILS(sw_connect(fd, address(&peer), sizeof peer), EINPROGRESS);
    EXPECT(sw_step_run(engine, now + 3 * SECOND) == 0);
    FAILS(sw_frame_take(engine, frame, 20, NULL, 0), EMSGSIZE);
    FAILS(sw_frame_take(engine, nothing, sizeof frame, NULL, 0), EFAULT);
    for (uint64_t second = 1; second <= 3; second++) {
        EXPECT(sw_frame_take(engine, frame, sizeof frame, &at_time, 0) > 54);
        EXPECT(at_time == now + second * SECOND);
    }
    FAILS(sw_frame_take(engine, frame, sizeof frame, NULL, 0), EAGAIN);
    EXPECT(sw_step_deadline(engine, &due) == 1 && due > now + 3 * SECOND);
    EXPECT(sw_close(fd) == 0 && sw_step_deadline(engine, &due) == 0);
}

/* Two engines with one seed and the same calls say the same; with another seed, another. */
static void seeds(void)
{
    unsigned char frames[3][2048];
    ssize_t lens[3];

    for (int i = 0; i < 3; i++) {
        struct sw_config config = { .mode = SW_STEPPED, .addresses = SERVER, .seed = i < 2 ? 77 : 78 };
        struct sockaddr_in peer = to(CLIENT, 9);
        int engine = sw_open(&config);
        EXPECT(engine >= 0 && sw_use(engine) >= 0);
        int fd = sw_socket(AF_INET, SOCK_STREAM, 0);
        FAILS(sw_connect(fd, address(&peer), sizeof peer), EINPROGRESS);
        lens[i] = sw_frame_take(engine, frames[i], sizeof frames[i], NULL, 0);
        EXPECT(lens[i] > 54 && sw_close(engine) == 0);
        FAILS(sw_read(fd, frames[i], 1), EBADF);
    }
    EXPECT(lens[0] == lens[1] && memcmp(frames[0], frames[1], (size_t)lens[0]) == 0);
    EXPECT(memcmp(frames[0], frames[2], (size_t)lens[0]) != 0);
}

int main(void)
{
    opening();
    begin();
    wrong_kinds();
    frames_and_time();
    seeds();
    puts("as expected");
    return 0;
}
