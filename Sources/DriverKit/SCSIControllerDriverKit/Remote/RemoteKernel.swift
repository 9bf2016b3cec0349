import CDriverKit
import Diagnostics
import Glibc
import Platform

/// The kernel half as a driver's process sees it: calls over a control link, tasks over rings in shared memory.
///
/// Threads: any.
final class RemoteKernel: DriverKernelPort, @unchecked Sendable {
    // SAFETY: `link` and `commands` are set before the first task; each ring's producer side is used under its lock.
    private let ways: [WayToKernel]
    private let arena: UnsafeMutableRawPointer
    private let arenaByteCount: Int
    private(set) var link: ControlLink!
    var commands: UnsafeMutablePointer<SCSIUserParallelTask>?
    /// Holds the waits of driver code for the kernel's answers.
    let context: DriverContext

    init(
        channel: UnsafeMutableRawPointer, pairCount: Int, arena: UnsafeMutableRawPointer, arenaByteCount: Int,
        context: DriverContext
    ) {
        ways = (0..<pairCount).map { WayToKernel(ring: nbdext_channel_to_kernel(channel, UInt32($0))) }
        self.arena = arena
        self.arenaByteCount = arenaByteCount
        self.context = context
    }

    func attach(_ link: ControlLink) { self.link = link }

    /// Sends a message by the calling thread's pair of rings. Waits while the ring is full.
    /// - Returns: the ring, and the message's position in it.
    @discardableResult
    func send(_ fill: (UnsafeMutablePointer<nbdext_message>) -> Void) -> (ring: OpaquePointer, position: UInt32) {
        let way = ways[Int(nbdext_current_pair())]
        return way.lock.withLock {
            var message = nbdext_ring_begin(way.ring)
            while message == nil {
                // The kernel is behind; it was woken for the messages in the ring.
                usleep(50)
                message = nbdext_ring_begin(way.ring)
            }
            fill(message!)
            let position = nbdext_ring_position(way.ring)
            _ = nbdext_ring_publish(way.ring)
            return (way.ring, position)
        }
    }

    func writeRegister(_ offset: Int, _ value: UInt32) {
        send { message in
            message.pointee.kind = NBDEXT_REGISTER_WRITE.rawValue
            message.pointee.count = UInt32(truncatingIfNeeded: offset)
            message.pointee.value = UInt64(value)
        }
    }

    // MARK: Tasks

    func completeBundledParallelTasks(_ indices: UnsafePointer<UInt16>, count: Int) {
        send { message in
            message.pointee.kind = NBDEXT_BUNDLED_COMPLETION.rawValue
            message.pointee.count = UInt32(count)
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(from: indices, byteCount: count * 2)
            }
        }
    }

    /// Sends one message and waits until the kernel has taken it: a completion of the legacy route is a call.
    func completeParallelTask(_ response: UnsafePointer<SCSIUserParallelResponse>, slot: UInt16?) {
        let sent = send { message in
            message.pointee.kind = NBDEXT_LEGACY_COMPLETION.rawValue
            message.pointee.value = slot.map { UInt64($0) + 1 } ?? 0
            withUnsafeMutableBytes(of: &message.pointee.body) {
                $0.baseAddress!.copyMemory(from: response, byteCount: MemoryLayout<SCSIUserParallelResponse>.size)
            }
        }
        nbdext_ring_wait_taken(sent.ring, sent.position)
    }

    func dataBuffer(targetID: SCSIDeviceIdentifier, taskID: UInt64) -> IOBufferMemoryDescriptor? {
        guard let answer = link.ask(.dataBuffer, ControlMessage([targetID, taskID])),
            answer.status == kIOReturnSuccess, answer[0] <= UInt64(arenaByteCount),
            answer[1] <= UInt64(arenaByteCount) - answer[0]
        else { return nil }
        let descriptor = IOBufferMemoryDescriptor(
            borrowing: UnsafeMutableRawBufferPointer(start: arena + Int(answer[0]), count: Int(answer[1])))
        // As in the server's own process: the caller may release it, but need not.
        descriptor.retain()
        return descriptor
    }

    /// Only a KEXT calls this; a driver's process has its slots mapped.
    func commandSlot(_ slot: UInt16) -> UnsafePointer<SCSIUserParallelTask> { UnsafePointer(commands! + Int(slot)) }

    // MARK: Control

    func reportHBAConstraints(_ constraints: OSDictionary) -> kern_return_t {
        call(.reportConstraints, ControlMessage(payload: PropertyCoder.encode(constraints)))
    }

    /// Asks the kernel, and waits in the wait graph: the kernel calls the driver back before this returns.
    func createTarget(_ targetID: SCSIDeviceIdentifier, properties: OSDictionary) -> kern_return_t {
        let done = OneShotEvent()
        let answer = AnswerBox()
        let message = ControlMessage([targetID], payload: PropertyCoder.encode(properties))
        guard
            let thread = try? OSThread(
                name: "create",
                { [link] in
                    answer.set(link?.ask(.createTarget, message)?.status ?? kIOReturnAborted)
                    done.set()
                })
        else { return kIOReturnNoResources }
        thread.detach()
        let outcome = context.waits.wait(
            for: done, of: .kernel { [weak self] in self?.kernelWait(forTarget: targetID) },
            purpose: "the kernel's answer to UserCreateTargetForID(\(targetID))")
        if outcome == .done { return answer.get() }
        // The kernel's side of the call must end too: a call that failed here must not create the target.
        _ = link.ask(.breakCreation, ControlMessage([targetID]), limitMilliseconds: Self.breakMilliseconds)
        _ = done.wait(milliseconds: Self.breakMilliseconds)
        return kIOReturnAborted
    }

    private static let breakMilliseconds = 2000

    /// The current wait of the kernel while it creates a target.
    private func kernelWait(forTarget targetID: SCSIDeviceIdentifier) -> KernelWait? {
        guard
            let answer = link.ask(.creationWait, ControlMessage([targetID]), limitMilliseconds: Self.breakMilliseconds),
            answer.status == kIOReturnSuccess
        else { return nil }
        return KernelWait(
            purpose: String(decoding: answer.payload, as: UTF8.self),
            isWithDriverSince: answer[0] == 1 ? answer[1] : nil)
    }

    func destroyTarget(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        call(.destroyTarget, ControlMessage([targetID]))
    }

    func isTargetPresent(_ targetID: SCSIDeviceIdentifier) -> Bool {
        link.ask(.isTargetPresent, ControlMessage([targetID]))?[0] == 1
    }

    func changeProperties(_ change: PropertyChange) -> kern_return_t { call(.changeProperties, change.message) }

    func mediaParametersHaveChanged() -> kern_return_t { call(.mediaChanged, ControlMessage()) }

    func publish(_ service: PublishedService) { _ = call(.publish, service.message) }

    private func call(_ call: ControlCall, _ message: ControlMessage) -> kern_return_t {
        link.ask(call, message)?.status ?? kIOReturnAborted
    }
}

/// A ring to the kernel, with one producer at a time.
private final class WayToKernel: @unchecked Sendable {
    // SAFETY: neither property changes.
    let ring: OpaquePointer
    let lock = Lock()

    init(ring: OpaquePointer) { self.ring = ring }
}

/// A status that one thread sets and another one reads.
private final class AnswerBox: @unchecked Sendable {
    // SAFETY: touched only under `lock`.
    private let lock = Lock()
    private var status = kIOReturnAborted

    func set(_ status: kern_return_t) { lock.withLock { self.status = status } }
    func get() -> kern_return_t { lock.withLock { status } }
}
