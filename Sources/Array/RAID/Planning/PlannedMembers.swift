import MDFormat
import MemberIO

/// The members that the planner plans with: which role is missing, which member is being filled, and since when each
/// member is at its place. `Membership` decides that, and the planner is told. I/O to the replacement's place is
/// counted.
///
/// A *generation* begins whenever a member fails or one takes a role. The outcome of I/O from before a member arrived
/// says nothing about it.
struct PlannedMembers {
    private let geometry: ArrayGeometry
    /// Whether members are missing. `.failed` is final.
    private(set) var state: ArrayState
    /// The member that is being filled, or nil.
    private(set) var recovery: Recovery?
    private(set) var generation: UInt32 = 0
    /// The generation in which the member at each place arrived: by role, then that of the replacement's place.
    private var arrivals: [UInt32]
    /// The role whose replacement is, or was last, at the replacement's place; nil before the first, or if it was given
    /// up.
    private(set) var replacementRole: Role?
    /// I/Os to the replacement's place that have not come back.
    private var replacementIOCount = 0

    /// - Parameter missing: the role that is absent; RAID 5 only.
    init(geometry: ArrayGeometry, missing: Role? = nil) {
        precondition(missing == nil || geometry.level == .raid5, "RAID 0 cannot do without a member")
        self.geometry = geometry
        state = missing.map { .degraded(missing: $0) } ?? .healthy
        arrivals = Array(repeating: 0, count: geometry.memberCount + 1)
    }

    /// The role that is not in sync everywhere, or nil. Its member may be recovering.
    var missing: Role? {
        if case .degraded(let member) = state { member } else { nil }
    }

    /// The member that is being filled while the one that it replaces still serves, or nil.
    var replacement: Recovery? { state == .healthy ? recovery : nil }

    /// The role that no I/O may go to, or nil.
    var absent: Role? { recovery == nil ? missing : nil }

    /// The role that is missing in a range of the members' data areas, or nil. A recovering member is in sync below its
    /// boundary.
    func missing(in range: @autoclosure () -> Range<UInt64>) -> Role? {
        guard let missing else { return nil }
        if let recovery, range().upperBound <= recovery.boundary { return nil }
        return missing
    }

    /// The role that an operation has to do without, or nil. Inlined, with what asks for it at each step: a call copies
    /// the members and the operation, and mostly nobody is missing.
    @inline(__always)
    func missing(for operation: StripeOperation) -> Role? { missing(in: operation.memberRange(geometry)) }

    /// Whether an operation's first column is of a member that is missing.
    @inline(__always)
    func lacksColumn(of operation: StripeOperation) -> Bool {
        guard let missing = missing(for: operation) else { return false }
        return geometry.member(stripe: operation.stripe, column: Int(operation.column0)) == missing
    }

    /// Whether an operation changes parity, and so needs a record if there is a log. A write of the missing column
    /// alone needs one too: recovery would otherwise follow an older record of the same chunk offsets.
    func keepParity(of operation: StripeOperation) -> Bool {
        operation.kind != .read && geometry.parityMember(stripe: operation.stripe) != missing(for: operation)
    }

    /// Whether nothing is lost with the member at a place: all others are there, or it is being rebuilt from them.
    func canDoWithout(_ place: Place) -> Bool {
        state == .healthy || recovery.map { Place($0.member) == place } ?? false
    }

    /// Whether the array's state allows a kind of maintenance.
    func allow(_ kind: StripeOperation.Kind) -> Bool {
        assert(kind.isMaintenance, "clients are always served")
        return kind.isRecovery ? recovery != nil : state == .healthy
    }

    // MARK: Failures

    /// Notes that a member failed. A replacement of this very member has its role now, and is in sync below its
    /// boundary. Another replacement is given up.
    /// - Returns: whether a replacement has the role.
    mutating func fail(_ member: Role) -> Bool {
        assert(member.index < geometry.memberCount, "the array has no such role")
        switch state {
        case .healthy where geometry.level == .raid0:
            state = .failed
            generation &+= 1
        case .healthy:
            let replacement = recovery
            endReplacement()
            state = .degraded(missing: member)
            guard let replacement, replacement.member == member else { return false }
            recovery = replacement
            takeRole(member)
            return true
        case .degraded(let missing) where missing != member: state = .failed
        case .degraded where recovery == nil: return false
        case .degraded: break
        case .failed: return false
        }
        recovery = nil
        generation &+= 1
        return false
    }

    /// Notes that writes were lost that no other member has.
    mutating func failArray() { state = .failed }

    // MARK: Recovery

    /// Lets a missing member come back, in sync below the boundary (a multiple of the unit).
    /// - Returns: false when the array has failed meanwhile, or does not miss that member.
    mutating func begin(_ recovery: Recovery) -> Bool {
        guard state == .degraded(missing: recovery.member), self.recovery == nil else { return false }
        precondition(recovery.boundary % geometry.unitByteCount == 0, "a boundary is between units")
        self.recovery = recovery
        arrivals[recovery.member] = generation
        assert(absent == nil, "the member that came is absent")
        return true
    }

    /// Moves the boundary over a range that was recovered, if it begins there.
    mutating func noteRecovered(_ range: Range<UInt64>) {
        assert(range.upperBound <= geometry.memberDataByteCount, "more is recovered than a member has")
        if recovery?.boundary == range.lowerBound { recovery!.boundary = range.upperBound }
    }

    /// Ends a complete recovery: the array is whole, and a replacement has its role.
    /// - Returns: false when no recovery is complete, or the array has failed.
    mutating func endRecovery() -> Bool {
        guard let recovery, recovery.boundary == geometry.memberDataByteCount, state != .failed else { return false }
        if state == .healthy {
            generation &+= 1
            takeRole(recovery.member)
        }
        assert(missing == nil || missing == recovery.member, "another member is missing than the one that was rebuilt")
        self.recovery = nil
        state = .healthy
        return true
    }

    // MARK: Replacement

    /// Whether a replacement can begin: all members are there, and no I/O is under way to an earlier member at its
    /// place.
    var canBeginReplacement: Bool { state == .healthy && recovery == nil && !hasReplacementIO }

    /// Begins to fill the member at the replacement's place, which is in sync below the boundary (a multiple of the
    /// unit).
    mutating func beginReplacement(_ recovery: Recovery) {
        precondition(canBeginReplacement, "the array is not whole, or its replacement's place not free")
        precondition(recovery.boundary % geometry.unitByteCount == 0, "a boundary is between units")
        self.recovery = recovery
        replacementRole = recovery.member
        arrivals[geometry.replacementPlace.index] = generation
    }

    /// Gives up a replacement, if there is one.
    mutating func endReplacement() {
        generation &+= 1
        guard replacement != nil else { return }
        recovery = nil
        replacementRole = nil
        arrivals[geometry.replacementPlace.index] = generation
    }

    /// Gives a role to the member at the replacement's place, from this generation on.
    private mutating func takeRole(_ role: Role) {
        assert(
            replacementRole == nil || replacementRole == role, "the member that takes the role was to replace another")
        replacementRole = role
        arrivals[role] = generation
    }

    // MARK: I/O to the replacement's place

    /// Emits an I/O to the replacement's place.
    mutating func emitToReplacement(_ io: MemberIO, into output: inout PlannerOutput) {
        assert(io.place != geometry.replacementPlace || !io.plannerToken.isToReplacement, "the I/O goes there already")
        assert(replacementRole != nil, "nobody is at the replacement's place")
        var io = io
        io.place = geometry.replacementPlace
        io.token = io.plannerToken.toReplacement.rawValue
        output.memberIOs.append(io)
        replacementIOCount += 1
    }

    /// Repeats an operation's write for a replacement of the member it goes to: data below the boundary, zeros
    /// everywhere.
    mutating func mirror(_ io: MemberIO, of operation: inout StripeOperation, into output: inout PlannerOutput) {
        guard let replacement, io.place == Place(replacement.member),
            operation.memberRange(geometry).upperBound <= replacement.boundary || io.kind != .write
        else { return }
        assert(!operation.writesToReplacement || operation.kind != .rebuild, "a copy is written twice")
        emitToReplacement(io, into: &output)
        operation.writesToReplacement = true
        operation.outstanding += 1
    }

    /// Whether I/O is under way to the replacement's place. It goes to the member that was there when it began, which
    /// may have a role by now.
    var hasReplacementIO: Bool { replacementIOCount > 0 }

    /// Notes that one has come back, or was not started.
    mutating func endReplacementIO() {
        precondition(replacementIOCount > 0, "no I/O to the replacement is under way")
        replacementIOCount -= 1
    }

    // MARK: I/O under way

    /// The token of an I/O that begins now and belongs to the array.
    func token(_ kind: PlannerToken.Kind) -> PlannerToken { .array(kind, generation: generation) }

    /// Whether the failure of an I/O says nothing against the member that is at its place now: another member was there
    /// when the I/O was emitted, or the I/O only read data for a replacement, which the other members can supply.
    func isOutdated(
        _ token: PlannerToken, at place: Place, _ operations: UnsafeMutablePointer<StripeOperation>
    ) -> Bool {
        switch token.kind {
        case .operation:
            let operation = operations + token.operation
            return isOutdated(operation.pointee.generation, at: place)
                || operation.pointee.isCopyRead(isReplacing: replacement != nil)
        case .healing: return isOutdated(operations[token.operation].generation, at: place)
        // A RAID 0 array's members stay.
        case .request: return false
        case .flushRound, .logWrite, .logFlush, .bitmapWrite, .bitmapFlush:
            return isOutdated(age: token.age(in: generation), at: place)
        }
    }

    /// Whether I/O of a generation went to an earlier member at the place.
    func isOutdated(_ generation: UInt32, at place: Place) -> Bool { generation < arrivals[place.index] }

    /// Whether I/O went to an earlier member at the place.
    /// - Parameter age: how many generations ago it began.
    func isOutdated(age: UInt32, at place: Place) -> Bool { generation < arrivals[place.index] &+ age }

    /// Whether an I/O with this outcome makes its member fail, unless it has failed already.
    func isFailure(
        _ token: PlannerToken, at place: Place, _ status: MemberStatus,
        _ operations: UnsafeMutablePointer<StripeOperation>
    ) -> Bool {
        switch status {
        case .done, .noSpace, .refused: return false
        case .failed:
            guard !isOutdated(token, at: place, operations) else { return false }
            // Without another copy, a rewrite that fails leaves the block as it was. Failing the member would lose
            // more.
            return canDoWithout(place) || token.kind != .healing || operations[token.operation].phase == .probing
        case .unreadable:
            guard canDoWithout(place), !isOutdated(token, at: place, operations) else { return false }
            switch token.kind {
            case .healing: return operations[token.operation].phase == .verifying
            case .operation:
                let operation = operations + token.operation
                return operation.pointee.phase == .reading
                    && operation.pointee.healing.rounds == BlockHealing.roundMax
                    && !operation.pointee.healing.isIncomplete
            default: return false
            }
        }
    }
}
