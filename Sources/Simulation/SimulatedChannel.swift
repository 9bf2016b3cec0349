import MemberIO
import Members

/// A lane's way to a simulated member: operations wait here until the simulation ends them, one at a time.
///
/// Threads: one.
final class SimulatedChannel: MemberChannel {
    /// How the simulation ends an operation.
    enum Ending {
        /// As it should.
        case proper
        /// With an I/O error, after a part of it.
        case error
    }

    struct Operation {
        var io: MemberIO
        var startedAt: UInt64
    }

    private unowned let member: SimulatedMember
    private(set) var operations: [Operation] = []
    private var done: [MemberCompletion] = []

    init(_ member: SimulatedMember) { self.member = member }

    var readiness: ChannelReadiness? { nil }

    func start(_ ios: UnsafeBufferPointer<MemberIO>) {
        let time = member.world.tick()
        for io in ios {
            operations.append(Operation(io: io, startedAt: time))
            if io.kind == .punch { member.giveBack(Self.sectors(io)) }
        }
    }

    func reap(into completions: inout [MemberCompletion]) {
        completions += done
        done.removeAll(keepingCapacity: true)
    }

    /// Ends an operation; its outcome can be reaped.
    /// - Returns: the operation and its outcome.
    func end(_ index: Int, _ ending: Ending) -> (MemberIO, MemberStatus) {
        let operation = operations[index]
        operations.swapAt(index, operations.count - 1)
        operations.removeLast()
        let status: MemberStatus
        if member.isDead {
            status = .failed
        } else if ending == .error {
            fail(operation)
            status = .failed
        } else {
            status = perform(operation)
        }
        if !operation.io.kind.isRead && operation.io.kind != .flush {
            member.image.complete(Self.sectors(operation.io), at: member.world.tick())
        }
        done.append(MemberCompletion(token: operation.io.token, member: operation.io.member, status: status))
        return (operation.io, status)
    }

    /// Does a part of an operation that stays under way: others may see it.
    func advance(_ index: Int) {
        if !member.isDead { performPart(operations[index].io) }
    }

    /// The end of the process: each operation is done in part, or not at all.
    func leaveHalfDone() {
        for operation in operations where member.world.random.chance(700) { performPart(operation.io) }
    }

    private static func sectors(_ io: MemberIO) -> Range<Int> {
        Int(io.byteOffset / 512)..<Int((io.byteOffset + UInt64(io.byteCount) + 511) / 512)
    }

    private func perform(_ operation: Operation) -> MemberStatus {
        let io = operation.io
        let sectors = Self.sectors(io)
        switch io.kind {
        case .read, .reread:
            io.memory!.copyMemory(
                from: member.image.bytes(ofSector: 0) + Int(io.byteOffset), byteCount: Int(io.byteCount))
        case .write, .zero, .durableWrite:
            let time = member.world.tick()
            for sector in sectors {
                guard member.hasRoom(sector: sector) else { return .noSpace }
                put(io, sector, completedAt: time)
            }
            if io.kind == .durableWrite { member.image.flush(covering: time, of: sectors) }
        case .punch:
            let time = member.world.tick()
            for sector in sectors { member.image.put(sector, nil, completedAt: time) }
        case .flush: member.image.flush(covering: operation.startedAt)
        }
        return .done
    }

    private func fail(_ operation: Operation) {
        if operation.io.kind == .flush {
            member.image.failFlush(covering: operation.startedAt)
        } else {
            performPart(operation.io)
        }
    }

    private func performPart(_ io: MemberIO) {
        guard !io.kind.isRead && io.kind != .flush else { return }
        let share = member.world.random.pick([100, 500, 900, 1000])
        for sector in Self.sectors(io) where member.world.random.chance(share) {
            if io.kind == .punch || member.hasRoom(sector: sector) {
                put(io, sector, completedAt: VolatileImage.underWay)
            }
        }
    }

    /// Does a sector of an operation that writes.
    private func put(_ io: MemberIO, _ sector: Int, completedAt: UInt64) {
        guard let memory = io.memory else { return member.put(sector, nil, completedAt: completedAt) }
        member.put(
            sector, of: UnsafeRawBufferPointer(start: memory, count: Int(io.byteCount)), at: Int(io.byteOffset),
            completedAt: completedAt)
    }
}
