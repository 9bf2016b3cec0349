#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <malloc.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

int nbdext_memfd(const char *name, int64_t size) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    if (ftruncate(fd, size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int nbdext_seal(int fd) { return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0 ? 0 : -errno; }

static int allocate(int fd, int mode, int64_t offset, int64_t length) {
    int status;
    do {
        status = fallocate(fd, mode, offset, length);
    } while (status < 0 && errno == EINTR);
    return result(status);
}

int nbdext_punch_hole(int fd, int64_t offset, int64_t length) {
    return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int nbdext_zero_range(int fd, int64_t offset, int64_t length) {
    return allocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int nbdext_reserve(int fd, int64_t offset, int64_t length) {
    return allocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);
}

int64_t nbdext_seek_data(int fd, int64_t offset) {
    off_t found = lseek(fd, offset, SEEK_DATA);
    return found < 0 ? -errno : found;
}

int nbdext_is_in_memory(int fd) {
    struct statfs information;
    return fstatfs(fd, &information) == 0 && information.f_type == TMPFS_MAGIC;
}

int nbdext_lock_file(int fd, int is_exclusive) {
    struct flock lock = {.l_type = is_exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    return result(fcntl(fd, F_OFD_SETLK, &lock));
}

int nbdext_is_locked(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int nbdext_supports_nowait_write(int fd, int64_t offset) {
    char byte;
    if (pread(fd, &byte, 1, offset) != 1) return 0;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};
    ssize_t written = pwritev2(fd, &vector, 1, offset, RWF_NOWAIT);
    return written == 1 || (written < 0 && errno == EAGAIN);
}

ssize_t nbdext_preadv(int fd, const struct iovec *vectors, int count, int64_t offset, int nowait) {
    ssize_t done;
    do {
        done = preadv2(fd, vectors, count, offset, nowait ? RWF_NOWAIT : 0);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

ssize_t nbdext_pwritev(int fd, const struct iovec *vectors, int count, int64_t offset, int is_durable) {
    ssize_t done;
    do {
        done = pwritev2(fd, vectors, count, offset, is_durable ? RWF_DSYNC : 0);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

int nbdext_pipe(int ends[2]) { return result(pipe2(ends, O_CLOEXEC)); }

int nbdext_eventfd(void) { return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int nbdext_epoll(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int nbdext_epoll_add(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

int nbdext_epoll_wait(int epoll, int *ready) {
    struct epoll_event events[NBDEXT_EPOLL_READY_MAX];
    int count = result(epoll_wait(epoll, events, NBDEXT_EPOLL_READY_MAX, -1));
    for (int index = 0; index < count; index++) ready[index] = events[index].data.fd;
    return count;
}

int nbdext_epoll_remove(int epoll, int fd) { return result(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL)); }

uint64_t nbdext_thread_id(void) {
    static _Thread_local uint64_t id;
    if (id == 0) id = (uint64_t)gettid();
    return id;
}

void nbdext_name_thread(const char *name) {
    char truncated[16] = {0};
    strncpy(truncated, name, sizeof truncated - 1);
    pthread_setname_np(pthread_self(), truncated);
}

int nbdext_mutex_init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    int status = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return status;
}

int nbdext_accept(int fd) {
    int connection;
    do {
        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    } while (connection < 0 && errno == EINTR);
    return result(connection);
}

int64_t nbdext_peer_user(int fd) {
    struct ucred user;
    socklen_t size = sizeof user;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) == 0 ? (int64_t)user.uid : -errno;
}

int nbdext_readable_byte_count(int fd) {
    int count = 0;
    return ioctl(fd, FIONREAD, &count) == 0 ? count : 0;
}

void nbdext_set_send_buffer(int socket, int bytes) {
    if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void nbdext_set_receive_timeout(int socket, int milliseconds) {
    struct timeval timeout = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

void nbdext_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int64_t nbdext_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX) return INT32_MAX;
    return (int64_t)limit.rlim_cur;
}

void nbdext_trim_heap(void) { malloc_trim(0); }

int nbdext_spawn_closing_from(posix_spawn_file_actions_t *actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int nbdext_allowed_processors(uint16_t *numbers, int capacity) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0) return 0;
    int count = 0;
    for (int number = 0; number < CPU_SETSIZE && count < capacity; number++)
        if (CPU_ISSET(number, &set)) numbers[count++] = (uint16_t)number;
    return count;
}

static _Thread_local int is_bound;
static _Thread_local cpu_set_t unbound;

void nbdext_bind_thread(const uint16_t *numbers, int count) {
    if (!is_bound && sched_getaffinity(0, sizeof unbound, &unbound) < 0) return;
    is_bound = 1;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int index = 0; index < count; index++) CPU_SET(numbers[index], &set);
    sched_setaffinity(0, sizeof set, &set);
    struct sched_param parameters = {0};
    sched_setscheduler(0, SCHED_BATCH, &parameters);
}

int nbdext_unbound_processors(cpu_set_t *set) {
    if (is_bound) *set = unbound;
    return is_bound;
}

void nbdext_release_thread(const cpu_set_t *set) {
    sched_setaffinity(0, sizeof *set, set);
    struct sched_param parameters = {0};
    sched_setscheduler(0, SCHED_OTHER, &parameters);
}

int nbdext_current_processor(void) { return sched_getcpu(); }

int nbdext_open_nothing(void) { return result(open("/", O_PATH | O_CLOEXEC)); }
