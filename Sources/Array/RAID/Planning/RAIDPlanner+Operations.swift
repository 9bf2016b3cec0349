import MDFormat
import MemberIO

/// The way of an operation through the parts of the planner.
extension RAIDPlanner {
    /// Starts an operation, or queues it behind earlier ones that overlap it. A read from a present member needs
    /// neither order nor scratch memory: it sees each block as it was before or after a write that is under way.
    func begin(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "an operation begins anew with I/O under way")
        let needsNothing =
            operation.pointee.kind == .read && operation.pointee.verdict != .heal
            && !members.lacksColumn(of: operation.pointee)
        if needsNothing || schedule.admit(index) { start(index, into: &output) }
    }

    /// Starts operations that waited for nothing else.
    func start(_ ready: OperationList, into output: inout PlannerOutput) {
        var ready = ready
        while let index = ready.popFirst(in: operations) { start(index, into: &output) }
    }

    /// Starts an operation from its first column. One that met a bad block heals its blocks first.
    func start(_ index: OperationIndex, into output: inout PlannerOutput) {
        if operations[index].verdict == .heal {
            return go(on: index, healing.heal(index, members, into: &output), into: &output)
        }
        operations[index].pass0 = operations[index].column0
        startPass(index, into: &output)
    }

    /// Goes on with an operation after a step of one of the parts.
    func go(on index: OperationIndex, _ step: NextStep, into output: inout PlannerOutput) {
        switch step {
        case .wait: assert(operations[index].outstanding > 0, "an operation waits for nothing")
        case .begin: begin(index, into: &output)
        case .lockBlocks:
            start(schedule.unlock(index), into: &output)
            operations[index].lock.coversBlocks = true
            begin(index, into: &output)
        case .start: start(index, into: &output)
        case .end(let status): end(index, status)
        }
    }

    // MARK: Passes

    /// Emits a pass's reads. A pass that needs none goes on to write at once.
    private func startPass(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        let kind = operation.pointee.kind
        assert(kind == .read || operation.pointee.hasStripeRange, "a pass needs its stripe range")
        guard state != .failed, !kind.isMaintenance || members.allow(kind) else { return end(index, .failed) }
        let missing = members.missing(for: operation.pointee)
        operation.pointee.beginReading(
            generation: members.generation, missing: missing, geometry, isLogged: logs != nil)
        if kind.isMaintenance {
            maintenance.emitReads(index, members, into: &output)
        } else {
            io.emitReads(index, into: &output)
            if kind != .read { statistics.note(operation.pointee, geometry) }
        }
        if operation.pointee.outstanding == 0 { finishReading(index, into: &output) }
    }

    /// Goes on to write, once a log record or bits of the bitmap protect the write.
    private func finishReading(_ index: OperationIndex, into output: inout PlannerOutput) {
        let kind = operations[index].kind
        assert(operations[index].outstanding == 0 && operations[index].verdict == .goOn, "the reads are not done")
        if kind == .read { return finishClientRead(index, into: &output) }
        // A crash in maintenance does no harm: it writes to a member that does not count there yet, or parity that was
        // wrong.
        if kind.isMaintenance {
            let step = maintenance.test(
                index, members, isWritten: bitmap?.isSet(for: operations[index]) ?? true, into: &output)
            return go(on: index, step, into: &output)
        }
        if !awaitProtection(index) { startWriting(index, into: &output) }
    }

    /// Ends a client's read, or computes what it wants.
    private func finishClientRead(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        guard state != .failed else { return end(index, .failed) }
        guard !operation.pointee.scratch.isNone && members.lacksColumn(of: operation.pointee)
        else { return end(index, .done) }
        operation.pointee.move(to: .computing)
        io.emitReconstruction(index, of: members.missing!, into: &output)
    }

    /// Emits a pass's parity jobs and writes.
    func startWriting(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        // What was read no longer suffices, and a failed array is left as it is.
        guard state != .failed else { return end(index, .failed) }
        assert(isProtected(operation.pointee), "a write begins before it is protected")
        operation.pointee.beginWriting(generation: members.generation)
        let firstIO = output.memberIOs.count
        let hasPartialParity = operation.pointee.recordOffset != nil && io.hasPartialParity(operation.pointee)
        let partialParity = hasPartialParity ? UnsafeRawPointer(logs!.partialParity(of: operation.pointee)) : nil
        io.emitWrites(index, to: &members, partialParity: partialParity, into: &output)
        guard operation.pointee.outstanding > 0 else { return finishPass(index, into: &output) }
        noteWrites(index, from: firstIO, output)
        io.group(index, from: firstIO, into: &output)
    }

    /// Takes the outcome of an I/O of an operation, and the step that follows the last one.
    func completeIO(_ index: OperationIndex, _ status: MemberStatus, into output: inout PlannerOutput) {
        let operation = operations + index
        operation.pointee.note(
            status, generation: members.generation, isReplacing: members.replacement != nil,
            isArrayFailed: members.state == .failed)
        guard operation.pointee.outstanding == 0 else { return }
        if operation.pointee.verdict == .replan {
            // For the members that are there now.
            operation.pointee.clearVerdict()
            return begin(index, into: &output)
        }
        switch operation.pointee.phase {
        case .reading where operation.pointee.status == .refused: end(index, .refused)
        case .reading where operation.pointee.verdict == .heal:
            go(on: index, healing.begin(index, members), into: &output)
        case .reading: finishReading(index, into: &output)
        case .mending, .mendingParity:
            let firstIO = output.memberIOs.count
            let step = mending.finish(index, &members, into: &output)
            noteWrites(index, from: firstIO, output)
            go(on: index, step, into: &output)
        default: finishPass(index, into: &output)
        }
    }

    /// Goes on with an operation's next columns, or ends it.
    private func finishPass(_ index: OperationIndex, into output: inout PlannerOutput) {
        let operation = operations + index
        assert(operation.pointee.outstanding == 0, "the pass is not done")
        if operation.pointee.status == .noSpace || operation.pointee.status == .refused {
            return go(on: index, mending.begin(index, members, into: &output), into: &output)
        }
        guard operation.pointee.status == .done, operation.pointee.pass1 < operation.pointee.column1 else {
            return end(index, .done)
        }
        logs?.endRecord(of: &operation.pointee)
        operation.pointee.pass0 = operation.pointee.pass1 + 1
        startPass(index, into: &output)
    }
}
