import Diagnostics
import HardwareBus
import Platform
import SCSIControllerDriverKit
import Synchronization

/// Calls of the control plane, from the driver: its questions and announcements.
///
/// Threads: one for each call; some outlive the kernel half.
final class ControlAnswers: @unchecked Sendable {
    // SAFETY: `creations` under `lock`; the weak reference is set once, and atomic.
    private weak var kernel: (any KernelHalf)?
    private let function: PCIFunction
    private let arena: DataArena
    private let context: DriverContext
    /// The memory that the driver shares with the card.
    let memory: DriverMemory
    private let lock = Lock()
    /// The threads that create targets for the driver, by target.
    private var creations: [UInt64: UInt] = [:]
    /// The number of the current process.
    private let generation = Atomic<Int>(0)
    /// The most lines that are shown of a driver's text.
    static let lineCountMax = 200

    init(function: PCIFunction, arena: DataArena, context: DriverContext, kernel: any KernelHalf) {
        self.function = function
        self.arena = arena
        self.context = context
        self.kernel = kernel
        memory = DriverMemory(function: function)
    }

    /// Answers the next process. Questions of an earlier one, which may still be on their way, are refused from now on.
    func answerer() -> @Sendable (ControlCall, ControlMessage) -> ControlMessage {
        let current = generation.add(1, ordering: .relaxed).newValue
        return { [weak self] call, message in
            guard let self, generation.load(ordering: .relaxed) == current, let kernel else {
                return ControlMessage(status: kIOReturnAborted)
            }
            return answer(call, message, kernel)
        }
    }

    private func answer(_ call: ControlCall, _ message: ControlMessage, _ kernel: any KernelHalf) -> ControlMessage {
        switch call {
        case .reportConstraints:
            guard let dictionary = PropertyCoder.decode(message.payload) else {
                return ControlMessage(status: kIOReturnBadArgument)
            }
            return ControlMessage(status: kernel.reportHBAConstraints(dictionary))
        case .createTarget: return createTarget(message[0], kernel)
        case .creationWait: return creationWait(message[0])
        case .breakCreation:
            if let thread = lock.withLock({ creations[message[0]] }) { context.waits.doom(thread) }
            return ControlMessage()
        case .destroyTarget: return ControlMessage(status: kernel.destroyTarget(message[0]))
        case .isTargetPresent: return ControlMessage([kernel.isTargetPresent(message[0]) ? 1 : 0])
        case .dataBuffer:
            guard let buffer = kernel.dataBuffer(targetID: message[0], taskID: message[1]) else {
                return ControlMessage(status: kIOReturnBadArgument)
            }
            return ControlMessage([UInt64(buffer.memory.baseAddress! - arena.base), UInt64(buffer.memory.count)])
        case .readRegister:
            return ControlMessage([UInt64(function.readRegister(Int(truncatingIfNeeded: message[0])))])
        case .allocateMemory, .claimWindow, .mapMemory, .unmapMemory: return memory.answer(call, message)
        case .report:
            report(ForeignText.lines(bytes: message.payload, countMax: Self.lineCountMax))
            return ControlMessage()
        default: return RegistryAnswers(kernel: kernel, function: function).answer(call, message)
        }
    }

    private func createTarget(_ targetID: UInt64, _ kernel: any KernelHalf) -> ControlMessage {
        let thread = currentThreadID()
        lock.withLock { creations[targetID] = thread }
        defer {
            lock.withLock { if creations[targetID] == thread { creations[targetID] = nil } }
            context.waits.forgive(thread)
        }
        return ControlMessage(status: kernel.createTarget(targetID, properties: [:]))
    }

    /// The current wait of a target's creation. Its numbers: whether the driver has the command, and since when.
    private func creationWait(_ targetID: UInt64) -> ControlMessage {
        guard let thread = lock.withLock({ creations[targetID] }), let wait = context.waits.kernelWait(of: thread)
        else {
            return ControlMessage(status: kIOReturnBadArgument)
        }
        return ControlMessage(
            [wait.isWithDriverSince == nil ? 0 : 1, wait.isWithDriverSince ?? 0], payload: Array(wait.purpose.utf8))
    }

    /// Reports a fault that was seen in the driver's process. Lines: its number, what happened, and a picture.
    private func report(_ lines: [String]) {
        guard lines.count >= 2, let fault = DriverFault(rawValue: lines[0]) else { return }
        context.log.report(fault, lines[1], picture: Array(lines.dropFirst(2)))
    }
}
