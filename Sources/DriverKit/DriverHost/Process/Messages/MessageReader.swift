import CDriverKit
import HardwareBus
import Platform
import SCSIControllerDriverKit

/// Takes the messages of a driver's process out of the rings and carries them out: completions, register writes, and
/// answers to calls of the legacy route.
///
/// Threads: any; not after the kernel half is gone.
final class MessageReader: @unchecked Sendable {
    // SAFETY: nothing changes. The kernel half stops the host, and with it these threads, before it goes.
    private unowned(unsafe) let kernel: any KernelHalf
    private let channel: DriverChannel
    private let slots: SharedSlots
    private let function: PCIFunction
    private let life: DriverLife
    private let context: DriverContext
    /// The answer to the call of the legacy route that is under way.
    let reply = AwaitedReply()
    /// The most messages that a thread takes at once: a ring of them, so that a driver that never stops sending does
    /// not keep the thread for ever.
    private static let countMax = 256

    init(
        channel: DriverChannel, slots: SharedSlots, function: PCIFunction, life: DriverLife, context: DriverContext,
        kernel: any KernelHalf
    ) {
        self.kernel = kernel
        self.channel = channel
        self.slots = slots
        self.function = function
        self.life = life
        self.context = context
    }

    /// As in `DriverHost`.
    func takeCalls(_ exchange: inout Exchange) -> Bool {
        let pair = channel.pair(of: &exchange)
        if !exchange.isTakingCalls {
            pair.beginPolling()
            exchange.isTakingCalls = true
        }
        return poll(pair)
    }

    /// As in `DriverHost`.
    func finish(_ exchange: inout Exchange, mayGoOn: Bool) -> Bool {
        let pair = channel.pair(of: &exchange)
        exchange.isTakingCalls = false
        guard endPolling(pair) else { return false }
        // A driver that sends messages without end occupies the receiver's thread only.
        if !mayGoOn { pair.wakeReceiver() }
        return mayGoOn
    }

    /// Ends fetching on the calling thread, after a look for the driver's next message.
    /// - Returns: whether a message came at the last moment, so that the thread has to go on.
    func endPolling(_ pair: RingPair) -> Bool {
        if channel.outstandingCount.load(ordering: .relaxed) > 0 { pair.linger(turns: lingerTurns) }
        pair.endPolling()
        return pair.hasMessages
    }

    /// The number of looks for the other side's next message by the first pair before a side sleeps. With one client,
    /// or one or two tasks, the looks take longer than a wake-up, some 80 us: each hand-over is waited for, and no
    /// other thread wants the processor. With many clients, messages come in clusters anyway, and long looks cost a
    /// quarter of the throughput (measured, on two cores).
    var lingerTurns: UInt32 {
        channel.outstandingCount.load(ordering: .relaxed) <= 2 || kernel.clientLaneCount <= 1 ? 1900 : 20
    }

    /// Carries out a pair's messages, unless another thread does so now.
    /// - Returns: whether there were any.
    func poll(_ pair: RingPair) -> Bool {
        guard pair.hasMessages else {
            pair.catchUp()
            return false
        }
        guard pair.consumerLock.tryLock() else { return false }
        let count = takeMessages(of: pair)
        pair.consumerLock.unlock()
        pair.catchUp()
        return count > 0
    }

    /// Takes the messages that a silent driver has left in the rings. Waits for threads that take some of them now.
    func takeAll() {
        for pair in channel.pairs { pair.consumerLock.withLock { _ = takeMessages(of: pair) } }
    }

    /// Under the pair's `consumerLock`.
    /// - Returns: the number of messages taken.
    private func takeMessages(of pair: RingPair) -> Int {
        var count = 0
        while count < Self.countMax {
            let taken = nbdext_ring_take(pair.toKernel, pair.message)
            if taken == 0 { break }
            count += 1
            if taken > 0 { take(pair) } else { refuse("wrote to indices that are not its own") }
        }
        return count
    }

    /// Reports and ends a driver that does something that the library never does.
    private func refuse(_ what: String) {
        context.log.report(.slotMisuse, "the driver's process \(what)")
        life.endProcess()
    }

    /// Carries out a message, which was copied out of the shared memory first.
    private func take(_ pair: RingPair) {
        let message = pair.message
        channel.history.note(message)
        switch nbdext_message_kind(message.pointee.kind) {
        case NBDEXT_REGISTER_WRITE:
            guard channel.isConnected else { return }
            function.writeRegister(Int(message.pointee.count), UInt32(truncatingIfNeeded: message.pointee.value))
        case NBDEXT_BUNDLED_COMPLETION:
            let count = Int(message.pointee.count)
            guard count >= 1, count <= kMaxBundledParallelTasks else {
                return context.log.report(.slotMisuse, "a completion message named \(count) slots")
            }
            channel.outstandingCount.subtract(count, ordering: .relaxed)
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeBundledParallelTasks($0.baseAddress!.assumingMemoryBound(to: UInt16.self), count: count)
            }
        case NBDEXT_LEGACY_COMPLETION:
            channel.outstandingCount.subtract(1, ordering: .relaxed)
            let slot = message.pointee.value
            withUnsafeBytes(of: &message.pointee.body) {
                kernel.completeParallelTask(
                    $0.baseAddress!.assumingMemoryBound(to: SCSIUserParallelResponse.self),
                    slot: slot > 0 && slot <= UInt64(slots.taskCount) ? UInt16(slot - 1) : nil)
            }
        case NBDEXT_LEGACY_REPLY:
            if reply.arrive(slot: message.pointee.value, response: message.pointee.count) {
                nbdext_ring_wake(pair.toKernel)
            }
        default: break
        }
    }
}
