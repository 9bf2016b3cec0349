#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NBDEXT_RING_CAPACITY 256u

struct nbdext_ring {
    _Alignas(64) _Atomic uint32_t tail;      ///< written by the producer
    _Alignas(64) _Atomic uint32_t head;      ///< written by the consumer
    _Alignas(64) _Atomic uint32_t awake;     ///< whether a thread of the consumer looks at the ring
    _Atomic uint32_t wakeups;                ///< a futex: goes up when the consumer is to be woken
    _Alignas(64) _Atomic uint32_t advice;    ///< written by the producer: how long it pays to wait for it
    _Alignas(64) struct nbdext_message messages[NBDEXT_RING_CAPACITY];
};

struct nbdext_ring_pair {
    struct nbdext_ring to_driver;
    struct nbdext_ring to_kernel;
};

struct nbdext_channel {
    _Alignas(64) unsigned char last_words[NBDEXT_LAST_WORDS_SIZE];
    struct nbdext_ring_pair pairs[];
};

void *nbdext_channel_last_words(void *channel) { return ((struct nbdext_channel *)channel)->last_words; }

size_t nbdext_channel_size(uint32_t pair_count)
{
    return sizeof(struct nbdext_channel) + pair_count * sizeof(struct nbdext_ring_pair);
}

uint32_t nbdext_channel_pair_count(size_t size)
{
    return (uint32_t)((size - sizeof(struct nbdext_channel)) / sizeof(struct nbdext_ring_pair));
}

struct nbdext_ring *nbdext_channel_to_driver(void *channel, uint32_t pair)
{
    return &((struct nbdext_channel *)channel)->pairs[pair].to_driver;
}

struct nbdext_ring *nbdext_channel_to_kernel(void *channel, uint32_t pair)
{
    return &((struct nbdext_channel *)channel)->pairs[pair].to_kernel;
}

static _Thread_local uint32_t current_pair;
void nbdext_set_current_pair(uint32_t pair) { current_pair = pair; }
uint32_t nbdext_current_pair(void) { return current_pair; }

struct nbdext_message *nbdext_ring_begin(struct nbdext_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (tail - head >= NBDEXT_RING_CAPACITY) return NULL;
    return &ring->messages[tail & (NBDEXT_RING_CAPACITY - 1)];
}

int nbdext_ring_publish(struct nbdext_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    // Sequentially consistent, as the consumer's `awake`: either the consumer sees the message, or this side sees it
    // asleep.
    atomic_store(&ring->tail, tail + 1);
    if (atomic_load(&ring->awake) != 0) return 0;
    nbdext_ring_wake(ring);
    return 1;
}

uint32_t nbdext_ring_position(const struct nbdext_ring *ring)
{
    return atomic_load_explicit(&((struct nbdext_ring *)ring)->tail, memory_order_relaxed);
}

int nbdext_ring_is_taken(const struct nbdext_ring *ring, uint32_t position)
{
    return (int32_t)(atomic_load_explicit(&((struct nbdext_ring *)ring)->head, memory_order_acquire) - position) > 0;
}

void nbdext_ring_set_indices(struct nbdext_ring *ring, uint32_t head, uint32_t tail)
{
    atomic_store(&ring->head, head);
    atomic_store(&ring->tail, tail);
}

void nbdext_ring_wait_taken(struct nbdext_ring *ring, uint32_t position)
{
    for (int spins = 0;; spins++) {
        uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
        if ((int32_t)(head - position) > 0) return;
        if (spins < 200) {
            nbdext_pause();
        } else {
            struct timespec limit = {0, 1000000};
            syscall(SYS_futex, &ring->head, FUTEX_WAIT, head, &limit, NULL, 0);
        }
    }
}

int nbdext_ring_take(struct nbdext_ring *ring, struct nbdext_message *message)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
    if (count == 0) return 0;
    if (count > NBDEXT_RING_CAPACITY) {
        atomic_store(&ring->head, head + count);
        return -1;
    }
    const struct nbdext_message *next = &ring->messages[head & (NBDEXT_RING_CAPACITY - 1)];
    memcpy(message, next, offsetof(struct nbdext_message, body));
    switch (message->kind) {
    case NBDEXT_BUNDLED_TASKS:
    case NBDEXT_BUNDLED_COMPLETION: memcpy(message->body, next->body, 64); break;
    case NBDEXT_LEGACY_TASK: memcpy(message->body, next->body, 128); break;
    case NBDEXT_LEGACY_COMPLETION: memcpy(message->body, next->body, 384); break;
    case NBDEXT_LEGACY_REPLY: message->body[0] = next->body[0]; break;
    default: break;
    }
    // Sequentially consistent: a producer that finds the message still in the ring may rely on the consumer's next
    // look.
    atomic_store(&ring->head, head + 1);
    // A completion of the legacy route is a call: its caller may sleep until the message is taken.
    if (message->kind == NBDEXT_LEGACY_COMPLETION) syscall(SYS_futex, &ring->head, FUTEX_WAKE, 1, NULL, NULL, 0);
    return 1;
}

int nbdext_ring_has_messages(const struct nbdext_ring *ring)
{
    return atomic_load(&((struct nbdext_ring *)ring)->tail)
        != atomic_load_explicit(&((struct nbdext_ring *)ring)->head, memory_order_relaxed);
}

uint32_t nbdext_ring_count(const struct nbdext_ring *ring)
{
    return atomic_load_explicit(&((struct nbdext_ring *)ring)->tail, memory_order_acquire)
        - atomic_load_explicit(&((struct nbdext_ring *)ring)->head, memory_order_acquire);
}

void nbdext_ring_set_awake(struct nbdext_ring *ring, int is_awake) { atomic_store(&ring->awake, is_awake != 0); }

uint32_t nbdext_ring_wakeup_count(const struct nbdext_ring *ring) { return atomic_load(&((struct nbdext_ring *)ring)->wakeups); }

void nbdext_ring_sleep(struct nbdext_ring *ring, uint32_t wakeup_count, int milliseconds)
{
    if (nbdext_ring_has_messages(ring)) return;
    struct timespec limit = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
    syscall(SYS_futex, &ring->wakeups, FUTEX_WAIT, wakeup_count, &limit, NULL, 0);
}

int nbdext_ring_linger(struct nbdext_ring *ring, uint32_t turns)
{
    for (uint32_t turn = 0; turn < turns; turn++) {
        if (nbdext_ring_has_messages(ring)) return 1;
        nbdext_pause();
    }
    return 0;
}

uint32_t nbdext_ring_advice(const struct nbdext_ring *ring)
{
    return atomic_load_explicit(&((struct nbdext_ring *)ring)->advice, memory_order_relaxed);
}

void nbdext_ring_advise(struct nbdext_ring *ring, uint32_t turns)
{
    if (nbdext_ring_advice(ring) != turns) atomic_store_explicit(&ring->advice, turns, memory_order_relaxed);
}

void nbdext_ring_wake(struct nbdext_ring *ring)
{
    atomic_fetch_add(&ring->wakeups, 1);
    syscall(SYS_futex, &ring->wakeups, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void nbdext_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

int nbdext_seal_writes(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0 ? 0 : -errno;
}

long nbdext_send_packet(int socket, const void *bytes, size_t count, int descriptor)
{
    struct iovec vector = {(void *)bytes, count};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    long sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

long nbdext_receive_packet(int socket, void *bytes, size_t count, int *descriptor)
{
    struct iovec vector = {bytes, count};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.space,
        // Room for one descriptor. The padding of CMSG_SPACE would take a second one, which nobody would close.
        .msg_controllen = CMSG_LEN(sizeof(int))};
    long received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    *descriptor = -1;
    if (received < 0) return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
        && header->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    return received;
}
