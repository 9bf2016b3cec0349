import CDriverKit
import Platform
import SCSIControllerDriverKit
import Synchronization

/// A ring to the driver's process, a ring back, and the kernel half's state for both.
///
/// The first pair serves everybody. Its thread in the driver and its receiver run where the system puts them, and small
/// bundles gather on the way. Batches go by the pair of the processor that sends them; its thread in the driver and its
/// receiver are bound to that processor. To wake a thread on another processor takes ten times as long (30 us against
/// 3, measured in a virtual machine). Batches that go round on two processors do not gather behind one another, where
/// one thread would do all the work.
///
/// Threads: any; see the locks.
final class RingPair: @unchecked Sendable {
    // SAFETY: the producer's side of `toDriver` and `interruptPosition` under `producerLock`; `bundlePosition` under it
    // and inside `submissionQueue`; the consumer's side of `toKernel` and `message` under `consumerLock`, which is
    // taken first where both are.
    let index: Int
    let toDriver: OpaquePointer
    let toKernel: OpaquePointer
    let producerLock = Lock()
    let consumerLock = Lock()
    private let lingerLock = Lock()
    private let awakeLock = Lock()
    let message: UnsafeMutablePointer<nbdext_message>
    /// The ring positions of the last bundle and the last interrupt. The next one waits until the driver has taken it.
    var bundlePosition: UInt32?
    private var interruptPosition: UInt32?
    let hasBacklog = Atomic<Bool>(false)
    private let owesInterrupt = Atomic<Bool>(false)
    /// The number of threads that fetch messages. The channel only says whether there are any, so that nothing that a
    /// dead driver wrote there lasts.
    private let pollers = Atomic<Int>(0)
    let submissionQueue: IODispatchQueue
    private var submissionMask: UInt32 = 0

    init(index: Int, channel: UnsafeMutableRawPointer, context: DriverContext) {
        self.index = index
        toDriver = nbdext_channel_to_driver(channel, UInt32(index))
        toKernel = nbdext_channel_to_kernel(channel, UInt32(index))
        message = .allocate(capacity: 1)
        submissionQueue = IODispatchQueue(name: index == 0 ? "Submission" : "Submission \(index)", context: context)
    }

    deinit { message.deallocate() }

    /// Sets the closure that sends waiting tasks. Before the first `signalSubmissions`.
    func setSender(_ send: @escaping @Sendable () -> Void) {
        submissionMask = submissionQueue.addSource("submission", send)
    }

    /// Sends the waiting tasks on this thread, unless another one is sending.
    func signalSubmissions() { submissionQueue.signal(mask: submissionMask) }

    /// Forgets everything that was sent: the channel is a new one. Under both locks, after the driver is gone.
    func reset() {
        bundlePosition = nil
        interruptPosition = nil
        hasBacklog.store(false, ordering: .relaxed)
        owesInterrupt.store(false, ordering: .relaxed)
        showPollers()
    }

    /// The tasks that go by this pair reach the driver in order.
    var domain: SequenceDomain { SequenceDomain(rawValue: UInt8(index)) }

    var hasMessages: Bool { nbdext_ring_has_messages(toKernel) != 0 }

    /// Counts the calling thread as one that looks for messages: the driver need not wake any thread. The thread's
    /// interrupts go by this pair.
    func beginPolling() {
        nbdext_set_current_pair(UInt32(index))
        if pollers.add(1, ordering: .sequentiallyConsistent).oldValue == 0 { showPollers() }
    }

    func endPolling() {
        nbdext_set_current_pair(0)
        if pollers.subtract(1, ordering: .sequentiallyConsistent).newValue == 0 { showPollers() }
    }

    /// Sends an interrupt, unless the driver has not taken the last one yet: one is as good as two.
    func sendInterrupt() {
        // The card's writes come before the message; the driver looks for them after it has taken the message.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        producerLock.withLock {
            if let interruptPosition, nbdext_ring_is_taken(toDriver, interruptPosition) == 0 { return }
            guard let message = nbdext_ring_begin(toDriver) else {
                return owesInterrupt.store(true, ordering: .releasing)
            }
            message.pointee.kind = NBDEXT_INTERRUPT.rawValue
            interruptPosition = nbdext_ring_position(toDriver)
            _ = nbdext_ring_publish(toDriver)
        }
    }

    /// Sends tasks and an interrupt that found no room when they came up.
    func catchUp() {
        if hasBacklog.load(ordering: .relaxed), !submissionQueue.OnQueue(),
            hasBacklog.exchange(false, ordering: .acquiringAndReleasing)
        {
            signalSubmissions()
        }
        if owesInterrupt.load(ordering: .relaxed), owesInterrupt.exchange(false, ordering: .acquiringAndReleasing) {
            sendInterrupt()
        }
    }

    /// Looks so often for the driver's next message by the first pair, unless another thread does.
    func linger(turns: @autoclosure () -> UInt32) {
        guard index == 0, lingerLock.tryLock() else { return }
        _ = nbdext_ring_linger(toKernel, turns())
        lingerLock.unlock()
    }

    /// Sleeps until a message comes or the time is up. Not while polling.
    func sleep(milliseconds: Int) {
        nbdext_ring_sleep(toKernel, nbdext_ring_wakeup_count(toKernel), Int32(milliseconds))
    }

    /// Wakes a sleeping receiver, for messages that the calling thread leaves to it.
    func wakeReceiver() { nbdext_ring_wake(toKernel) }

    /// The first poller and the last one call this after they have counted, so that the channel gets the final state.
    private func showPollers() {
        awakeLock.withLock {
            nbdext_ring_set_awake(toKernel, pollers.load(ordering: .sequentiallyConsistent) > 0 ? 1 : 0)
        }
    }
}
