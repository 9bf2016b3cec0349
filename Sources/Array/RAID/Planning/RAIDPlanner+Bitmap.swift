import MDFormat
import MemberIO

/// The stop at the write-intent bitmap between an operation's reads and its writes, and the clearing of bits.
extension RAIDPlanner {
    /// Makes an operation wait until its regions' bits are durable.
    /// - Returns: false when they are already.
    func awaitBits(_ index: OperationIndex) -> Bool {
        guard !bitmap!.protect(operations[index]) else { return false }
        operations[index].move(to: .protecting)
        assert(operations[index].outstanding == 0, "an operation waits for bits with I/O under way")
        bitmap!.append(index, in: operations)
        return true
    }

    /// Begins a round when there is something to write and none is under way.
    func advanceBitmap(into output: inout PlannerOutput) {
        guard !bitmap!.isWriting else { return }
        // The last round may have made the bits durable already, for other operations.
        guard bitmap!.hasChangedPages else {
            var waiting = bitmap!.takeWaiting()
            while let index = waiting.popFirst(in: operations) {
                bitmap!.noteDurable(operations[index])
                startWriting(index, into: &output)
            }
            return
        }
        guard state != .failed else {
            var waiting = bitmap!.takeWaiting()
            while let index = waiting.popFirst(in: operations) { end(index, .failed) }
            return
        }
        bitmap!.beginRound(absent: members.absent, token: token(.bitmapWrite), into: &output)
    }

    /// Takes the outcome of a write of a round; after the last one the round's operations go on.
    func completeBitmapWrite(_ status: MemberStatus, into output: inout PlannerOutput) {
        guard var round = bitmap!.endWrite(status) else { return }
        while let index = round.operations.popFirst(in: operations) {
            assert(operations[index].phase == .protecting, "an operation that waits for no bits is in the round")
            guard round.status == .done else {
                end(index, round.status)
                continue
            }
            bitmap!.noteDurable(operations[index])
            startWriting(index, into: &output)
        }
    }

    // MARK: What an absent member misses

    /// The first byte of the members' data areas, at or behind `byteOffset`, whose bit is set; nil when there is none.
    /// Without a bitmap every byte may have been written to. A bit stays set at least for writes since all members were
    /// last in sync.
    package func nextWritten(from byteOffset: UInt64) -> UInt64? {
        guard let bitmap else { return byteOffset < geometry.memberDataByteCount ? byteOffset : nil }
        return bitmap.nextSet(from: byteOffset).flatMap { $0 < geometry.memberDataByteCount ? $0 : nil }
    }

    /// How many regions' bits are set, and how many regions there are. Both are 0 without a bitmap.
    package var writtenRegions: (count: Int, total: Int) {
        bitmap.map { ($0.setCount, $0.regionCount) } ?? (0, 0)
    }

    /// Whether a bit of an operation's regions is set.
    func isWritten(_ operation: StripeOperation) -> Bool {
        bitmap?.isSet(for: operation) ?? true
    }

    /// Takes note that a period of the bitmap has passed (`MDBitmap.daemonSleepSeconds`). Bits of regions without a
    /// write for two periods can be cleared after a flush (`clearBits`). None is cleared while a member is missing,
    /// since bits say what it misses, or while parity is in doubt.
    package func tick(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        bitmap!.beginPeriod()
        beginClearing(includesLatest: false, into: &output)
        finishBatch(into: &output)
    }

    /// Brings the array to rest: all bits can be cleared, as after `tick`, when all member I/Os have ended. No request
    /// is outstanding.
    package func rest(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        beginClearing(includesLatest: true, into: &output)
        finishBatch(into: &output)
    }

    private func beginClearing(includesLatest: Bool, into output: inout PlannerOutput) {
        guard state == .healthy, !isParityDoubtful, !bitmap!.isFlushing else { return }
        assert(members.absent == nil, "bits say what a member misses that is not there")
        guard bitmap!.beginClearing(includesLatest: includesLatest, operations: pool.all) else { return }
        for member in geometry.roles {
            let flush = MemberIO.flush(Place(member), token: token(.bitmapFlush))
            output.memberIOs.append(flush)
            bitmap!.beginFlush()
            guard replacement?.member == member else { continue }
            emitToReplacement(flush, into: &output)
            bitmap!.beginFlush()
        }
    }

    /// Whether `clearBits` has bits to clear: the flushes before it have ended.
    package var hasBitsToClear: Bool {
        guard let bitmap, state == .healthy else { return false }
        return bitmap.hasBitsToClear
    }

    /// Clears the bits of regions without a write since `tick` or `rest`. The caller has renewed the members' mark
    /// after their flushes.
    package func clearBits(into output: inout PlannerOutput) {
        guard hasBitsToClear, !isParityDoubtful else { return }
        assert(state == .healthy, "bits say what a missing member misses")
        bitmap!.clearBits()
        finishBatch(into: &output)
    }
}
