/*
 * Synward for C: TCP sockets on an engine in this process, with the signatures, errno and meaning of the calls of the
 * kernel. Written by cbindgen from engine/capi/src; do not edit. docs/c.md is the manual.
 *
 * Licensed under MIT or Apache-2.0, at your choice.
 */

#ifndef SYNWARD_H
#define SYNWARD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/epoll.h>
#include <poll.h>

/*
 Virtual time; frames are the caller's. No thread, no privilege; nothing waits. See the calls sw_step_...
 */
#define SW_STEPPED 0

/*
 Real time; frames are the caller's (sw_frame_inject, sw_frame_take). The engine has a thread of its own; calls wait.
 */
#define SW_FRAMES 1

/*
 Real time; frames are those of an interface, by AF_XDP. As SW_FRAMES, and needs root or CAP_NET_ADMIN, CAP_NET_RAW and
 CAP_BPF.
 */
#define SW_INTERFACE 2

/*
 What an engine is told when it is opened. Write it with designated initialisers: what is not named is zero, and zero
 stands for what is said below.
 */
struct sw_config {
  /*
   SW_STEPPED, SW_FRAMES or SW_INTERFACE.
   */
  int mode;
  /*
   SW_INTERFACE: the name of the interface. Else NULL.
   */
  const char *interface;
  /*
   Our IP addresses, with spaces between them; the first of a family is the source of connections that are not bound.
   SW_INTERFACE: NULL stands for those of the interface.
   */
  const char *addresses;
  /*
   Our hardware address. Only where frames are the caller's: 02:00:00:00:00:01 if all are zero.
   */
  unsigned char mac[6];
  /*
   The hardware address that connections of ours are opened towards, wherever they go. Only where frames are the
   caller's: 02:00:00:00:00:02 if all are zero.
   */
  unsigned char peer_mac[6];
  /*
   Where keys, and with them initial sequence numbers, timestamps and source ports, come from. Equal seeds, times, frames
   and calls give equal frames. 0: from the system's random source; never give a seed on a network with strangers.
   */
  uint64_t seed;
  /*
   Settings by the names of sysctl and values, with spaces between them, such as "tcp_sack=0 somaxconn=8"; NULL for none.
   docs/c.md lists them.
   */
  const char *settings;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Opens an engine, and returns its descriptor. sw_close closes it: all of its sockets are closed with resets, and calls that
 wait fail with EBADF.

 Errors: EINVAL for a setting that cannot be used, EFAULT, and those of the system; sw_error tells more.
 */
int sw_open(const struct sw_config *config);

/*
 Why the last sw_open of this thread failed, as a sentence in English. The text stays until the next sw_open of this thread.
 */
const char *sw_error(void);

/*
 From now on, sw_socket and sw_epoll_create1 of this thread belong to this engine; 0 stands for the engine that was opened
 first, which is what every thread begins with. Returns what was in use before.

 Errors: EBADF; EINVAL when it is no engine.
 */
int sw_use(int engine);

/*
 Closes a socket, an epoll instance or an engine.

 A socket with unread bytes, or with SO_LINGER and no time, resets its connection; another ends it in order, after what was
 sent. Calls on it that wait in other threads fail with EBADF.

 Errors: EBADF.
 */
int sw_close(int fd);

/*
 The time of an engine, in nanoseconds since it was opened. It moves by sw_step_run alone.

 Errors: EBADF; EINVAL unless the engine is SW_STEPPED; EFAULT.
 */
int sw_step_now(int engine, uint64_t *now);

/*
 Lets the engine take the frames that arrived, then lets time pass until `until` nanoseconds and runs each timer at its
 exact time on the way. With `until` as it is now, no time passes.

 Errors: EBADF; EINVAL when that is in the past, or the engine is not SW_STEPPED.
 */
int sw_step_run(int engine, uint64_t until);

/*
 Before when no timer is due, in nanoseconds, however long the caller waits to run the engine. Returns 1, or 0 and leaves `due`
 alone when no timer runs. Timers far ahead are known roughly: nothing may happen yet at that time, and then ask again.

 Errors: EBADF; EINVAL unless the engine is SW_STEPPED; EFAULT.
 */
int sw_step_deadline(int engine,
                     uint64_t *due);

/*
 An Ethernet frame arrives. A stepped engine takes it at the next call on it; so several arrive at once if nothing is called
 in between.

 Errors: EBADF; EINVAL when frames are not the caller's; EFAULT; ENOBUFS when there is no room: the frame is lost.
 */
int sw_frame_inject(int engine,
                    const void *frame,
                    size_t len);

/*
 Takes the next frame that the engine has sent, and returns its length. Unless `sent_at` is NULL, it is told when the frame
 was sent, on the clock of a stepped engine; else it is told 0. An engine in real time waits for a frame, at most `timeout`
 milliseconds, or for ever if that is negative.

 Errors: EBADF; EINVAL when frames are not the caller's; EFAULT; EAGAIN when there is none; EMSGSIZE when it is longer than
 `len`: it stays.
 */
ssize_t sw_frame_take(int engine,
                      void *frame,
                      size_t len,
                      uint64_t *sent_at,
                      int timeout);

/*
 socket(2), for AF_INET and AF_INET6 with SOCK_STREAM, of the engine in use (see sw_use).

 Errors: EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EMFILE; ENETDOWN when no engine is open.
 */
int sw_socket(int domain, int type, int protocol);

/*
 bind(2). IPv6 sockets are IPv6 only.

 Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL.
 */
int sw_bind(int fd, const struct sockaddr *address, socklen_t len);

/*
 listen(2). A second time changes nothing.

 Errors: EBADF, ENOTSOCK, EINVAL, EADDRINUSE, ENOBUFS, ENETDOWN.
 */
int sw_listen(int fd, int backlog);

/*
 accept(2).

 Errors: EBADF, ENOTSOCK, EINVAL when it does not listen, EAGAIN, EFAULT, EMFILE, ENOBUFS, ENETDOWN.
 */
int sw_accept(int fd, struct sockaddr *address, socklen_t *len);

/*
 accept4(2).

 Errors: as sw_accept.
 */
int sw_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

/*
 connect(2). AF_UNSPEC takes the connection from the socket, with a reset.

 Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT, EISCONN, EALREADY, EINPROGRESS, ECONNREFUSED, ETIMEDOUT,
 EHOSTUNREACH, ENETUNREACH, EADDRINUSE, EADDRNOTAVAIL and others that ICMP brings.
 */
int sw_connect(int fd, const struct sockaddr *address, socklen_t len);

/*
 shutdown(2).

 Errors: EBADF, ENOTSOCK, EINVAL, ENOTCONN.
 */
int sw_shutdown(int fd, int how);

/*
 getsockname(2).

 Errors: EBADF, ENOTSOCK, EFAULT, EINVAL.
 */
int sw_getsockname(int fd, struct sockaddr *address, socklen_t *len);

/*
 getpeername(2).

 Errors: EBADF, ENOTSOCK, ENOTCONN, EFAULT, EINVAL.
 */
int sw_getpeername(int fd, struct sockaddr *address, socklen_t *len);

/*
 read(2).

 Errors: EBADF, ENOTSOCK, EFAULT, EAGAIN, ENOTCONN, and once the reason of a failure.
 */
ssize_t sw_read(int fd, void *bytes, size_t len);

/*
 write(2). EPIPE comes with SIGPIPE.

 Errors: EBADF, ENOTSOCK, EFAULT, EAGAIN, EPIPE, and once the reason of a failure.
 */
ssize_t sw_write(int fd, const void *bytes, size_t len);

/*
 readv(2).

 Errors: as sw_read; EINVAL for more than 1024 pieces or too many bytes.
 */
ssize_t sw_readv(int fd, const struct iovec *vector, int len);

/*
 writev(2). EPIPE comes with SIGPIPE.

 Errors: as sw_write; EINVAL for more than 1024 pieces or too many bytes.
 */
ssize_t sw_writev(int fd, const struct iovec *vector, int len);

/*
 recv(2), with MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL and MSG_TRUNC.

 Errors: as sw_read; EINVAL for MSG_OOB, since urgent bytes stay in line.
 */
ssize_t sw_recv(int fd, void *bytes, size_t len, int flags);

/*
 send(2), with MSG_DONTWAIT and MSG_NOSIGNAL.

 Errors: as sw_write; EOPNOTSUPP for MSG_OOB and MSG_FASTOPEN.
 */
ssize_t sw_send(int fd, const void *bytes, size_t len, int flags);

/*
 recvfrom(2). A stream has no addresses: `*address_len` is 0 afterwards.

 Errors: as sw_recv.
 */
ssize_t sw_recvfrom(int fd, void *bytes, size_t len, int flags, struct sockaddr *address, socklen_t *address_len);

/*
 sendto(2). A stream goes to its peer, whatever `address` says.

 Errors: as sw_send.
 */
ssize_t sw_sendto(int fd,
                  const void *bytes,
                  size_t len,
                  int flags,
                  const struct sockaddr *address,
                  socklen_t address_len);

/*
 recvmsg(2). There are no addresses and no control messages: their lengths are 0 afterwards, and so is `msg_flags`.

 Errors: as sw_recv; EMSGSIZE for more than 1024 pieces.
 */
ssize_t sw_recvmsg(int fd, struct msghdr *message, int flags);

/*
 sendmsg(2). Addresses and control messages are not looked at.

 Errors: as sw_send; EMSGSIZE for more than 1024 pieces.
 */
ssize_t sw_sendmsg(int fd, const struct msghdr *message, int flags);

/*
 setsockopt(2). docs/c.md lists the options.

 Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, EDOM, ENOENT, ENOPROTOOPT, ENOBUFS.
 */
int sw_setsockopt(int fd, int level, int name, const void *value, socklen_t len);

/*
 getsockopt(2). docs/c.md lists the options. What is longer than `*len` is cut.

 Errors: EBADF, ENOTSOCK, EFAULT, EINVAL, ENOPROTOOPT, ENOBUFS.
 */
int sw_getsockopt(int fd, int level, int name, void *value, socklen_t *len);

/*
 fcntl(2), with F_GETFL, F_SETFL (O_NONBLOCK), F_GETFD and F_SETFD. The argument is always there; 0 where it says nothing.

 Errors: EBADF, EINVAL.
 */
int sw_fcntl(int fd,
             int command,
             long argument);

/*
 ioctl(2), with FIONREAD (SIOCINQ), SIOCOUTQ and FIONBIO.

 Errors: EBADF, EFAULT, EINVAL, ENOTTY.
 */
int sw_ioctl(int fd, unsigned long request, int *argument);

/*
 poll(2), for sockets and epoll instances. A stepped engine does not wait.

 Errors: EFAULT; EINVAL for too many descriptors, and where several engines would have to be waited for.
 */
int sw_poll(struct pollfd *fds, nfds_t count, int timeout);

/*
 epoll_create1(2), for sockets of the engine in use (see sw_use).

 Errors: EINVAL, EMFILE; ENETDOWN when no engine is open.
 */
int sw_epoll_create1(int flags);

/*
 epoll_ctl(2), level-triggered or with EPOLLET, and EPOLLONESHOT.

 Errors: EBADF, EEXIST, ENOENT, EFAULT; EINVAL, also where the socket is of another engine; EPERM for what is no socket.
 */
int sw_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

/*
 epoll_wait(2). A stepped engine does not wait.

 Errors: EBADF, EFAULT; EINVAL when it is no epoll instance, or `most` is not positive.
 */
int sw_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SYNWARD_H */
