// The channel between the kernel half and a driver in a process of its own. Beside the slots, they share pairs of
// message rings, one ring in each direction, and the futex words that wake a sleeping side.
//
// Each ring has one consumer at a time and one producer at a time; each process has a lock of its own for that. The
// other side may be hostile: indices are masked, a message is copied before it is read, and a side that writes nonsense
// harms itself only.

#ifndef NBDEXT_CDRIVERKIT_CHANNEL_H
#define NBDEXT_CDRIVERKIT_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

/// The kinds of messages. Kernel to driver: tasks and interrupts. Driver to kernel: completions and register writes.
enum nbdext_message_kind {
    NBDEXT_BUNDLED_TASKS = 1,       ///< count slots in indices
    NBDEXT_LEGACY_TASK = 2,         ///< slot in value, the task in body; answered by a reply
    NBDEXT_INTERRUPT = 3,           ///< the device asserts its line
    NBDEXT_BUNDLED_COMPLETION = 4,  ///< count slots in indices
    NBDEXT_LEGACY_COMPLETION = 5,   ///< the response in body, its slot + 1 (or 0) in value; the driver waits
    NBDEXT_REGISTER_WRITE = 6,      ///< offset in count, value in value
    NBDEXT_LEGACY_REPLY = 7,        ///< slot in value, *response in count
};

struct nbdext_message {
    uint32_t kind;
    uint32_t count;
    uint64_t value;
    uint8_t body[496];
};

_Static_assert(sizeof(struct nbdext_message) == 512, "a message is 512 bytes");

/// A ring of messages from one process to the other. Its fields are atomics, which only C sees.
struct nbdext_ring;

/// The size of a channel, bytes. A memory file of this size with all zeros is an empty channel.
size_t nbdext_channel_size(uint32_t pair_count);
/// The number of ring pairs in a channel of so many bytes.
uint32_t nbdext_channel_pair_count(size_t size);

/// Room for the crash note of a driver's process (`nbdext_crash_note`), bytes.
#define NBDEXT_LAST_WORDS_SIZE 128
void *nbdext_channel_last_words(void *channel);

/// The two rings of a pair. `channel` is where the channel is mapped.
struct nbdext_ring *nbdext_channel_to_driver(void *channel, uint32_t pair);
struct nbdext_ring *nbdext_channel_to_kernel(void *channel, uint32_t pair);

/// The pair by which the calling thread sends, in either process; 0 until it is set.
void nbdext_set_current_pair(uint32_t pair);
uint32_t nbdext_current_pair(void);

/// The next message to fill in, or NULL when the ring is full.
struct nbdext_message *nbdext_ring_begin(struct nbdext_ring *ring);
/// Publishes the message of the last `begin`, and wakes the consumer if it sleeps. Returns whether a wake-up was
/// needed.
int nbdext_ring_publish(struct nbdext_ring *ring);
/// The position of the message that is being filled in, and a wait until the consumer has taken the message there.
uint32_t nbdext_ring_position(const struct nbdext_ring *ring);
void nbdext_ring_wait_taken(struct nbdext_ring *ring, uint32_t position);
/// Whether the consumer has taken the message at a position.
int nbdext_ring_is_taken(const struct nbdext_ring *ring, uint32_t position);
/// Copies the oldest message. Returns 1, 0 when there is none, or -1 when the indices make no sense, because the other
/// side wrote to indices that are not its own. The ring is empty after -1.
int nbdext_ring_take(struct nbdext_ring *ring, struct nbdext_message *message);
/// Whether a message waits.
int nbdext_ring_has_messages(const struct nbdext_ring *ring);
/// The number of messages that wait.
uint32_t nbdext_ring_count(const struct nbdext_ring *ring);

/// Sets both indices, as a hostile process could. For tests.
void nbdext_ring_set_indices(struct nbdext_ring *ring, uint32_t head, uint32_t tail);

/// Says whether the consumer looks at the ring. While it does, it is not woken. A consumer that stops looking checks
/// once more for messages before it sleeps.
void nbdext_ring_set_awake(struct nbdext_ring *ring, int is_awake);
/// The number of the consumer's wake-ups so far, which is its futex word. Read it before the last look, and pass it to
/// `sleep`.
uint32_t nbdext_ring_wakeup_count(const struct nbdext_ring *ring);
/// Sleeps until a message comes, the consumer was woken since `wakeup_count`, or the time is up. Only when not awake.
void nbdext_ring_sleep(struct nbdext_ring *ring, uint32_t wakeup_count, int milliseconds);
/// Looks at the ring `turns` times before the consumer rests. Returns whether a message waits.
int nbdext_ring_linger(struct nbdext_ring *ring, uint32_t turns);
/// The number of turns that the producer advises its consumer to linger.
uint32_t nbdext_ring_advice(const struct nbdext_ring *ring);
void nbdext_ring_advise(struct nbdext_ring *ring, uint32_t turns);
/// Wakes the consumer although there is no message.
void nbdext_ring_wake(struct nbdext_ring *ring);

/// Tells the processor that this thread spins.
void nbdext_pause(void);

/// Forbids writes through mappings of a memory file that are made from now on. fcntl(2), F_SEAL_FUTURE_WRITE.
int nbdext_seal_writes(int fd);
/// Sends bytes, and a descriptor unless it is negative, as one packet of a SOCK_SEQPACKET socket.
long nbdext_send_packet(int socket, const void *bytes, size_t count, int descriptor);
/// Receives one packet, and a descriptor that came with it; else `descriptor` is -1.
long nbdext_receive_packet(int socket, void *bytes, size_t count, int *descriptor);

#endif
