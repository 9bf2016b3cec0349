import CDriverKit
import Glibc
import Platform
import Synchronization
import TestSupport
import TestTraits
import Testing

/// A channel in ordinary memory, for two threads.
private final class Channel: @unchecked Sendable {
    // SAFETY: the rings are made for two sides.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: nbdext_channel_size(1), alignment: 64)
    let ring: OpaquePointer

    init() {
        memset(memory, 0, nbdext_channel_size(1))
        ring = nbdext_channel_to_kernel(memory, 0)
    }

    deinit { memory.deallocate() }

    func send(_ value: UInt64) -> Bool {
        guard let message = nbdext_ring_begin(ring) else { return false }
        message.pointee.kind = NBDEXT_REGISTER_WRITE.rawValue
        message.pointee.value = value
        _ = nbdext_ring_publish(ring)
        return true
    }

    func take() -> UInt64? {
        var message = nbdext_message()
        return nbdext_ring_take(ring, &message) > 0 ? message.value : nil
    }
}

@Suite("The ring of messages", .needsCore)
struct RingTests {
    private static let capacity = 256

    @Test("keeps the order, also where its indices wrap", arguments: [0, UInt32.max - 5, UInt32(Int32.max) - 5])
    func order(start: UInt32) {
        let channel = Channel()
        nbdext_ring_set_indices(channel.ring, start, start)
        var sent: UInt64 = 0
        var taken: UInt64 = 0
        for round in 1...60 {
            for _ in 0..<round % 17 + 1 {
                #expect(channel.send(sent))
                sent += 1
            }
            #expect(nbdext_ring_count(channel.ring) == UInt32(sent - taken))
            while let value = channel.take() {
                #expect(value == taken)
                taken += 1
            }
            #expect(nbdext_ring_has_messages(channel.ring) == 0)
        }
        #expect(sent == taken)
    }

    @Test("refuses a message when it is full, and takes one again when there is room")
    func full() {
        let channel = Channel()
        for value in 0..<UInt64(Self.capacity) { #expect(channel.send(value)) }
        #expect(!channel.send(1000))
        let last = nbdext_ring_position(channel.ring) &- 1
        #expect(channel.take() == 0)
        #expect(nbdext_ring_is_taken(channel.ring, last) == 0)
        #expect(channel.send(1001))
        #expect(!channel.send(1002))
        for _ in 0..<Self.capacity { _ = channel.take() }
        #expect(nbdext_ring_is_taken(channel.ring, last) == 1)
        nbdext_ring_wait_taken(channel.ring, last)
    }

    @Test("wakes its consumer unless that is awake")
    func wakes() {
        let channel = Channel()
        nbdext_ring_set_awake(channel.ring, 1)
        _ = nbdext_ring_begin(channel.ring)
        #expect(nbdext_ring_publish(channel.ring) == 0)
        nbdext_ring_set_awake(channel.ring, 0)
        _ = nbdext_ring_begin(channel.ring)
        #expect(nbdext_ring_publish(channel.ring) == 1)
    }

    @Test("whatever the other side does to the indices, taking ends, and says so")
    func hostile() {
        let channel = Channel()
        var random = SeededGenerator(seed: SeededGenerator.seed)
        for _ in 0..<10_000 {
            let head = UInt32.random(in: 0 ... .max, using: &random)
            let tail = Bool.random(using: &random) ? UInt32.random(in: 0 ... .max, using: &random) : head &- 1
            nbdext_ring_set_indices(channel.ring, head, tail)
            var message = nbdext_message()
            var taken = 0
            while nbdext_ring_take(channel.ring, &message) > 0 { taken += 1 }
            #expect(taken <= Self.capacity)
            #expect(nbdext_ring_has_messages(channel.ring) == 0)
            if let message = nbdext_ring_begin(channel.ring) {
                let offset = UnsafeRawPointer(message) - UnsafeRawPointer(channel.memory)
                #expect(offset >= 0 && offset <= nbdext_channel_size(1) - MemoryLayout<nbdext_message>.size)
            }
        }
        nbdext_ring_set_indices(channel.ring, 0, 257)
        var message = nbdext_message()
        #expect(nbdext_ring_take(channel.ring, &message) == -1)
        nbdext_ring_set_indices(channel.ring, 0, 256)
        #expect(nbdext_ring_take(channel.ring, &message) == 1)
    }

    @Test("a consumer that sleeps is woken for every message")
    func wakeUps() throws {
        let channel = Channel()
        let count: UInt64 = 30_000
        let finished = OneShotEvent()
        let longest = Atomic<UInt64>(0)
        try OSThread(name: "consumer") {
            var expected: UInt64 = 0
            nbdext_ring_set_awake(channel.ring, 1)
            while expected < count {
                while let value = channel.take() {
                    #expect(value == expected)
                    expected += 1
                }
                if expected == count { break }
                let wakeupCount = nbdext_ring_wakeup_count(channel.ring)
                nbdext_ring_set_awake(channel.ring, 0)
                let before = monotonicMilliseconds()
                // So long that a wake-up that is lost shows.
                nbdext_ring_sleep(channel.ring, wakeupCount, 5000)
                longest.max(monotonicMilliseconds() - before, ordering: .relaxed)
                nbdext_ring_set_awake(channel.ring, 1)
            }
            finished.set()
        }.detach()
        var random = SeededGenerator(seed: SeededGenerator.seed)
        for value in 0..<count {
            while !channel.send(value) { nbdext_pause() }
            for _ in 0..<random.below(64) { nbdext_pause() }
        }
        #expect(finished.comes())
        #expect(longest.load(ordering: .relaxed) < 4000, "a wake-up was lost")
    }
}
