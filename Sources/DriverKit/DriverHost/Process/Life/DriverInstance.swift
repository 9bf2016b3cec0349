import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization

/// One run of a driver's process, from its start to its end.
///
/// Threads: any.
final class DriverInstance: Sendable {
    let child: DriverChild
    let link: ControlLink
    private let output: DriverOutput
    private let alive: Atomic<Bool>
    private let ended: OneShotEvent

    /// - Throws: when the process or a thread cannot be started.
    init(
        program: DriverProgram, channel: Int32, arena: DataArena,
        answerer: @escaping @Sendable (ControlCall, ControlMessage) -> ControlMessage,
        died: @escaping @Sendable (DriverInstance) -> Void
    ) throws {
        var ends: [Int32] = [0, 0]
        guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | 0o2000000, 0, &ends) == 0 else {
            throw OSError(code: errno, doing: "make a pair of sockets")
        }
        defer { close(ends[1]) }
        do {
            let (output, errors) = try DriverOutput.make()
            defer { close(errors) }
            self.output = output
            child = try DriverChild(
                program: program, errors: errors, socket: ends[1],
                channel: channel,
                arena: arena.descriptor,
                arenaByteCount: arena.byteCount)
        } catch {
            close(ends[0])
            throw error
        }
        alive = Atomic(true)
        ended = OneShotEvent()
        let box = Box()
        link = ControlLink(
            socket: ends[0], takesDescriptors: false, answerer: answerer,
            closed: {
                guard let instance = box.instance, let died = box.died else { return }
                // This breaks the cycle: the instance holds the link, whose closure holds the box.
                box.instance = nil
                instance.closed(died)
            })
        box.died = died
        box.instance = self
        do { try link.start() } catch {
            box.instance = nil
            close(ends[0])
            child.kill()
            _ = child.end()
            throw error
        }
    }

    /// Leads the link's thread to the instance, which is made after the link.
    private final class Box: @unchecked Sendable {
        // SAFETY: set once, before the link starts.
        var instance: DriverInstance?
        var died: (@Sendable (DriverInstance) -> Void)?
    }

    var isAlive: Bool { alive.load(ordering: .acquiring) }

    private func closed(_ died: (DriverInstance) -> Void) {
        alive.store(false, ordering: .releasing)
        ended.set()
        died(self)
    }

    /// Ends the process, if it has not ended, and waits for its end.
    /// - Parameter graceMilliseconds: the time that it has to end by itself.
    /// - Returns: how it ended.
    @discardableResult
    func end(graceMilliseconds: Int = 0) -> String {
        link.close()
        if graceMilliseconds > 0 { _ = ended.wait(milliseconds: graceMilliseconds) }
        let ending = child.end()
        output.finish()
        return ending
    }
}
