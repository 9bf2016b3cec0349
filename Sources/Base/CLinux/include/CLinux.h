// Calls and macros of glibc that Swift's importer does not show.
//
// Every wrapper returns a negative errno instead of -1, so that no Swift code runs between the call and the reading of
// errno.

#ifndef NBDEXT_CLINUX_H
#define NBDEXT_CLINUX_H

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/// Makes an anonymous memory file of `size` bytes that can be shared with another process: memfd_create(2).
int nbdext_memfd(const char *name, int64_t size);

/// Forbids further seals on a memory file, so that a process that is given it cannot keep others from writing to it.
/// fcntl(2), F_SEAL_SEAL.
int nbdext_seal(int fd);

/// Frees the blocks of a byte range; it reads as zeros afterwards. fallocate(2), PUNCH_HOLE | KEEP_SIZE.
int nbdext_punch_hole(int fd, int64_t offset, int64_t length);
/// Makes a byte range read as zeros and keeps its blocks allocated. fallocate(2), ZERO_RANGE | KEEP_SIZE.
int nbdext_zero_range(int fd, int64_t offset, int64_t length);
/// Reserves space for a byte range, so that writes to it cannot fail for want of space. fallocate(2), KEEP_SIZE.
int nbdext_reserve(int fd, int64_t offset, int64_t length);

/// The first byte at or behind `offset` that is not in a hole, or -ENXIO when there is none. lseek(2), SEEK_DATA.
int64_t nbdext_seek_data(int fd, int64_t offset);

/// Takes an open-file-description lock on the whole file: exclusive for a file that is open for writing, else shared.
/// fcntl(2), F_OFD_SETLK. Returns 0, or -EAGAIN when another open file holds one that excludes it.
int nbdext_lock_file(int fd, int is_exclusive);

/// Whether another open file holds a lock on this one: fcntl(2), F_OFD_GETLK.
int nbdext_is_locked(int fd);

/// Whether a buffered write to this file can be issued without blocking (RWF_NOWAIT), so that an io_uring write
/// completes inline instead of in a kernel worker. Writes back the byte that it read.
int nbdext_supports_nowait_write(int fd, int64_t offset);

/// Whether the file is in memory (tmpfs), where fdatasync(2) has nothing to wait for.
int nbdext_is_in_memory(int fd);

/// preadv2(2)/pwritev2(2) with RWF_NOWAIT when `nowait`, RWF_DSYNC when `is_durable` is set.
ssize_t nbdext_preadv(int fd, const struct iovec *vectors, int count, int64_t offset, int nowait);
ssize_t nbdext_pwritev(int fd, const struct iovec *vectors, int count, int64_t offset, int is_durable);

/// The calling thread's ID, never 0: gettid(2), asked for once.
uint64_t nbdext_thread_id(void);

/// Raises the soft limit on descriptors to the hard limit. setrlimit(2).
void nbdext_raise_descriptor_limit(void);
/// The soft limit on descriptors: their numbers are below it.
int64_t nbdext_descriptor_limit(void);

/// A pipe whose ends are closed on exec. pipe2(2).
int nbdext_pipe(int ends[2]);

/// An eventfd(2), non-blocking, close-on-exec.
int nbdext_eventfd(void);

/// An epoll instance, close-on-exec. epoll_create1(2).
int nbdext_epoll(void);
/// Adds a descriptor to an epoll instance, which is readable while the descriptor is, or removes it. epoll_ctl(2).
int nbdext_epoll_add(int epoll, int fd);
int nbdext_epoll_remove(int epoll, int fd);
enum { NBDEXT_EPOLL_READY_MAX = 64 };
/// Blocks until added descriptors are readable, or at their end, and stores up to NBDEXT_EPOLL_READY_MAX of them. Returns
/// their number. epoll_wait(2).
int nbdext_epoll_wait(int epoll, int *ready);

/// Names the calling thread (at most 15 bytes), for ps and perf. pthread_setname_np(3).
void nbdext_name_thread(const char *name);

/// Initialises a mutex that spins briefly before it sleeps (PTHREAD_MUTEX_ADAPTIVE_NP).
int nbdext_mutex_init(pthread_mutex_t *mutex);

/// Asks for a send buffer of that size, beyond the system's limit where that is allowed (SO_SNDBUFFORCE), up to it
/// elsewhere (SO_SNDBUF).
void nbdext_set_send_buffer(int socket, int bytes);

/// Lets receives that block end with EAGAIN after a time. SO_RCVTIMEO.
void nbdext_set_receive_timeout(int socket, int milliseconds);

/// Gives free pages of the heap back to the system. malloc_trim(3).
void nbdext_trim_heap(void);

/// accept4(2) with SOCK_CLOEXEC.
int nbdext_accept(int fd);

/// The bytes that a socket has received and nobody has read. ioctl(2), FIONREAD; 0 when the call fails.
int nbdext_readable_byte_count(int fd);

/// Makes the spawned process close all descriptors from `first` on. posix_spawn_file_actions_addclosefrom_np(3).
int nbdext_spawn_closing_from(posix_spawn_file_actions_t *actions, int first);

/// The kernel's Landlock version; 0 for none. landlock(7).
int nbdext_landlock_version(void);
/// Makes a ruleset that forbids everything that the kernel's version can: files, TCP, abstract sockets, signals.
/// Returns its descriptor, or -EOPNOTSUPP without Landlock.
int nbdext_landlock_ruleset(void);
/// Allows a ruleset to read and execute a file or everything below a directory, and to write to it if wanted.
int nbdext_landlock_allow(int ruleset, const char *path, int may_write);

/// The parameters of a driver's process.
struct nbdext_driver_start {
    const char *path;
    char *const *arguments;
    char *const *environment;
    /// Its open files, from number 0 on; it gets no others. Each number here is at least `descriptor_count`.
    const int *descriptors;
    int descriptor_count;
    /// A ruleset of `nbdext_landlock_ruleset`; negative for none.
    int ruleset;
    /// The user and the group that it runs as; negative for this process's.
    int64_t user;
    int64_t group;
};

/// Starts a program in a process group of its own, without capabilities or ways to gain privileges, and without the
/// system calls that reach other processes or the network if the kernel has seccomp filters. Returns an errno, or 0 and
/// whether the filter is in place.
int nbdext_start_driver(const struct nbdext_driver_start *start, pid_t *process, int *is_filtered);

/// Keeps other processes of the same user from reading or tracing this one. prctl(2), PR_SET_DUMPABLE.
int nbdext_hide_process(void);

/// Makes SIGHUP, SIGINT and SIGTERM, unless they are ignored or caught already, write their number to a pipe as one
/// byte.
void nbdext_tell_of_interruptions(int pipe);

/// Makes standard output line buffered, whatever it is connected to. setvbuf(3).
void nbdext_print_by_lines(void);

/// Writes the numbers of the processors that the calling thread may use, in ascending order, `capacity` at most.
/// Returns their count; 0 when the system does not say. sched_getaffinity(2).
int nbdext_allowed_processors(uint16_t *numbers, int capacity);
/// Binds the calling thread to these processors, and makes it SCHED_BATCH, which does not preempt others when it is
/// woken, as far as the system allows both. sched_setaffinity(2), sched(7).
void nbdext_bind_thread(const uint16_t *numbers, int count);
/// Whether the calling thread is bound, and if so, its processors before that: for the threads that it starts, which
/// would inherit the binding.
int nbdext_unbound_processors(cpu_set_t *set);
/// Lets the calling thread run on these processors, and makes it SCHED_OTHER again.
void nbdext_release_thread(const cpu_set_t *set);
/// The number of the processor on which the calling thread runs, or ran a moment ago.
int nbdext_current_processor(void);

/// The user at the other end of a Unix socket, or -errno. SO_PEERCRED, unix(7).
int64_t nbdext_peer_user(int fd);

/// Opens a descriptor on which every read, write and flush fails at once, even through io_uring, which would wait for a
/// descriptor that can be polled. Negative: -errno.
int nbdext_open_nothing(void);

#endif
