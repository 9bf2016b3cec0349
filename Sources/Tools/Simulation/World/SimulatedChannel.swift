import MemberIO
import Members

/// A lane's channel to a simulated member. Operations wait here until the simulation ends them, one at a time.
///
/// Threads: one.
final class SimulatedChannel: MemberChannel {
    /// How the simulation ends an operation.
    enum Ending {
        /// As the member's state says.
        case proper
        /// With an I/O error, after a part of it was done.
        case error
    }

    struct Operation {
        var io: MemberIO
        var startedAt: UInt64
        /// The member on which it began, and ends; nil when there was none.
        var member: SimulatedMember?
    }

    private unowned let world: SimulatedWorld
    private let member: () -> SimulatedMember?
    private(set) var operations: [Operation] = []
    private var done: [MemberCompletion] = []

    /// - Parameter member: returns the member on which new operations begin.
    init(_ world: SimulatedWorld, to member: @escaping () -> SimulatedMember?) {
        self.world = world
        self.member = member
    }

    var readiness: ChannelReadiness? { nil }

    func start(_ ios: UnsafeBufferPointer<MemberIO>) {
        let time = world.tick()
        let member = member()
        for io in ios {
            operations.append(Operation(io: io, startedAt: time, member: member))
            if io.kind == .punch { member?.giveBack(Self.sectors(io)) }
        }
    }

    /// Whether a failed operation at a place has not been reaped yet.
    func hasFailure(at place: Place) -> Bool { done.contains { $0.place == place && $0.status == .failed } }

    func reap(into completions: inout [MemberCompletion]) {
        completions += done
        done.removeAll(keepingCapacity: true)
    }

    /// Ends an operation; its outcome can be reaped.
    func end(_ index: Int, _ ending: Ending) -> MemberStatus {
        let operation = operations[index]
        operations.swapAt(index, operations.count - 1)
        operations.removeLast()
        let status = end(operation, ending)
        done.append(MemberCompletion(token: operation.io.token, place: operation.io.place, status: status))
        return status
    }

    private func end(_ operation: Operation, _ ending: Ending) -> MemberStatus {
        guard let member = operation.member else { return .failed }
        var status = MemberStatus.failed
        if !member.isDead {
            if ending == .error || isUnwritable(operation, member) {
                fail(operation, member)
            } else {
                status = perform(operation, member)
            }
        }
        if !operation.io.kind.isRead && operation.io.kind != .flush {
            member.image.complete(Self.sectors(operation.io), at: world.tick())
        }
        return status
    }

    /// Does a part of an operation that stays under way: other operations may see that part.
    func advance(_ index: Int) { performPart(operations[index]) }

    /// Does a part of each operation, or nothing, as the end of the process does.
    func leaveHalfDone() {
        for operation in operations where world.random.chance(700) { performPart(operation) }
    }

    private static func sectors(_ io: MemberIO) -> Range<Int> {
        Int(io.byteOffset / 512)..<Int((io.byteOffset + UInt64(io.byteCount) + 511) / 512)
    }

    private func perform(_ operation: Operation, _ member: SimulatedMember) -> MemberStatus {
        let io = operation.io
        let sectors = Self.sectors(io)
        switch io.kind {
        case .read, .reread:
            if member.image.damaged.isUnreadable(sectors) {
                // No one may use the memory's content now.
                io.memory!.initializeMemory(as: UInt8.self, repeating: 0xEE, count: Int(io.byteCount))
                return .unreadable
            }
            io.memory!.copyMemory(
                from: member.image.bytes(ofSector: 0) + Int(io.byteOffset), byteCount: Int(io.byteCount))
        case .write, .zero, .durableWrite:
            let time = world.tick()
            for sector in sectors {
                guard member.hasRoom(sector: sector) else { return .noSpace }
                put(io, sector, member, completedAt: time)
            }
            if io.kind == .durableWrite { member.image.flush(covering: time, of: sectors) }
        case .punch:
            let time = world.tick()
            for sector in sectors { member.image.put(sector, nil, completedAt: time) }
        case .flush: member.image.flush(covering: operation.startedAt)
        }
        return .done
    }

    private func isUnwritable(_ operation: Operation, _ member: SimulatedMember) -> Bool {
        let kind = operation.io.kind
        return !kind.isRead && kind != .flush && member.image.damaged.isUnwritable(Self.sectors(operation.io))
    }

    private func fail(_ operation: Operation, _ member: SimulatedMember) {
        if operation.io.kind == .flush {
            member.failFlush(covering: operation.startedAt)
        } else {
            performPart(operation)
        }
    }

    private func performPart(_ operation: Operation) {
        let io = operation.io
        guard let member = operation.member, !member.isDead, !io.kind.isRead && io.kind != .flush else { return }
        let share = world.random.pick([100, 500, 900, 1000])
        for sector in Self.sectors(io) where world.random.chance(share) {
            if io.kind == .punch || member.hasRoom(sector: sector) {
                put(io, sector, member, completedAt: VolatileImage.underWay)
            }
        }
    }

    /// Writes one sector of an operation.
    private func put(_ io: MemberIO, _ sector: Int, _ member: SimulatedMember, completedAt: UInt64) {
        guard let memory = io.memory else { return member.put(sector, nil, completedAt: completedAt) }
        member.put(
            sector, of: UnsafeRawBufferPointer(start: memory, count: Int(io.byteCount)), at: Int(io.byteOffset),
            completedAt: completedAt)
    }
}
