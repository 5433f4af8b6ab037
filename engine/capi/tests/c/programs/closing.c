/* What POSIX leaves open: a descriptor that is closed while others wait on it. Here they fail with EBADF. */
#define SYNWARD
#define THREADED
#include "both.h"

static void *accepts(void *fd)
{
    long outcome = sw_accept(*(int *)fd, NULL, NULL);
    return (void *)(outcome < 0 ? (long)errno : outcome);
}

static void *receives(void *fd)
{
    char byte;
    long outcome = sw_recv(*(int *)fd, &byte, 1, 0);
    return (void *)(outcome < 0 ? (long)errno : outcome);
}

static void *collects(void *fd)
{
    struct epoll_event event;
    long outcome = sw_epoll_wait(*(int *)fd, &event, 1, -1);
    return (void *)(outcome < 0 ? (long)errno : outcome);
}

static void *takes(void *fd)
{
    char byte;
    long outcome = sw_frame_take(*(int *)fd, &byte, 1, NULL, -1);
    return (void *)(outcome < 0 ? (long)errno : outcome);
}

static pthread_t start(void *(*call)(void *), int *fd)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, call, fd))
        exit(1);
    return thread;
}

static void expect(pthread_t thread, long errno_wanted, const char *what)
{
    void *outcome;
    pthread_join(thread, &outcome);
    if ((long)outcome != errno_wanted) {
        fprintf(stderr, "%s: %ld, not %ld\n", what, (long)outcome, errno_wanted);
        exit(1);
    }
}

int main(void)
{
    struct sockaddr_in where;

    begin();
    for (int whole = 0; whole < 2; whole++) {
        struct joined joined = join();
        int waiting = listener(&where);
        at(AT_SERVER);
        int epoll = sw_epoll_create1(0);
        sw_fcntl(waiting, F_SETFL, 0);
        sw_fcntl(joined.server, F_SETFL, 0);
        pthread_t threads[3] = { start(accepts, &waiting), start(receives, &joined.server), start(collects, &epoll) };
        if (whole) {
            /* All at once, with the engine. */
            sw_close(engines[AT_SERVER]);
        } else {
            sw_close(waiting);
            sw_close(joined.server);
            sw_close(epoll);
        }
        expect(threads[0], EBADF, "accept");
        expect(threads[1], EBADF, "recv");
        expect(threads[2], EBADF, "epoll_wait");
        if (whole && (sw_shutdown(joined.server, SHUT_WR) != -1 || errno != EBADF))
            return 1;
        if (whole && (sw_use(engines[AT_SERVER]) != -1 || errno != EBADF))
            return 1;
    }
    /* Whoever waits for a frame learns of it, too; and the first engine that is open is in use. */
    sw_close(engines[AT_CLIENT]);
    struct sw_config config = { .mode = SW_FRAMES, .addresses = SERVER };
    int engine = sw_open(&config);
    pthread_t thread = start(takes, &engine);
    if (sw_use(0) < 0 || sw_close(sw_socket(AF_INET, SOCK_STREAM, 0)))
        return 1;
    sw_close(engine);
    expect(thread, EBADF, "frame_take");
    if (sw_socket(AF_INET, SOCK_STREAM, 0) != -1 || errno != ENETDOWN)
        return 1;
    puts("as expected");
    return 0;
}
