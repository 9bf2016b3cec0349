import MDFormat
import MemberIO

/// The stop at the write-intent bitmap between an operation's reads and its writes, and the clearing of bits.
extension RAIDPlanner {
    /// Makes an operation wait until its regions' bits are durable.
    /// - Returns: false when they are already.
    func awaitBits(_ index: Int32) -> Bool {
        let regions = bitmap!.regions(of: operations[Int(index)], geometry)
        guard !bitmap!.touch(regions) else { return false }
        bitmap!.set(regions)
        operations[Int(index)].move(to: .protecting)
        bitmap!.waiting.append(index, in: operations)
        return true
    }

    /// Begins a round when there is something to write and none is under way.
    func advanceBitmap(into output: inout PlannerOutput) {
        guard bitmap!.roundOutstanding == 0 else { return }
        // The last round may have made the bits durable already, for other operations.
        guard bitmap!.hasChangedPages else { return startWaiting(into: &output) }
        guard state != .failed else { return endWaiting(.failed) }
        bitmap!.round = bitmap!.waiting
        bitmap!.waiting = OperationList()
        bitmap!.roundStatus = .done
        bitmap!.hasChangedPages = false
        for page in 0..<bitmap!.pageCount {
            bitmap!.isPageInRound[page] = bitmap!.isPageChanged[page]
            bitmap!.isPageChanged[page] = false
            guard bitmap!.isPageInRound[page] else { continue }
            // The first page begins with the header, which is written together with superblocks and not from here.
            let first = page * MDBitmap.pageByteCount
            let skipped = page == 0 ? MDBitmap.headerByteCount : 0
            for member in 0..<geometry.memberCount where member != members.absent {
                output.memberIOs.append(
                    MemberIO(
                        kind: .durableWrite, member: member,
                        byteOffset: bitmap!.byteOffsets[member] + UInt64(first + skipped),
                        byteCount: MDBitmap.pageByteCount - skipped, memory: bitmap!.memory + first + skipped,
                        token: token(.bitmapWrite)))
                bitmap!.roundOutstanding += 1
            }
        }
    }

    /// Takes the outcome of a write of a round. The other members make up for a failed one.
    func completeBitmapWrite(_ status: MemberStatus, into output: inout PlannerOutput) {
        bitmap!.roundOutstanding -= 1
        switch status {
        case .noSpace: bitmap!.roundStatus = bitmap!.roundStatus.combined(with: .noSpace)
        case .refused: bitmap!.roundStatus = bitmap!.roundStatus.combined(with: .refused)
        case .done, .unreadable, .failed: break
        }
        guard bitmap!.roundOutstanding == 0 else { return }
        if bitmap!.roundStatus != .done { bitmap!.failRound() }
        while let index = bitmap!.round.popFirst(in: operations) {
            let regions = bitmap!.regions(of: operations[Int(index)], geometry)
            if bitmap!.roundStatus != .done {
                end(index, bitmap!.roundStatus)
            } else {
                for region in regions { bitmap!.regions[region].isDurable = true }
                startWriting(index, into: &output)
            }
        }
    }

    private func startWaiting(into output: inout PlannerOutput) {
        while let index = bitmap!.waiting.popFirst(in: operations) {
            startWriting(index, into: &output)
        }
    }

    private func endWaiting(_ status: ArrayStatus) {
        while let index = bitmap!.waiting.popFirst(in: operations) { end(index, status) }
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
        guard let bitmap else { return true }
        return bitmap.regions(of: operation, geometry).contains { bitmap.isSet($0) }
    }

    // MARK: Clearing

    /// Takes note that a period of the bitmap has passed (`MDBitmap.daemonSleepSeconds`). Bits of regions without a
    /// write for two periods can be cleared after a flush (`clearBits`). None is cleared while a member is missing,
    /// since bits say what it misses, or while parity is in doubt.
    package func tick(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        bitmap!.tick += 1
        for page in 0..<bitmap!.pageCount where bitmap!.isPageChanged[page] { bitmap!.hasChangedPages = true }
        beginClearing(writtenBefore: bitmap!.tick - 1, into: &output)
        finishBatch(into: &output)
    }

    /// Brings the array to rest: all bits can be cleared, as after `tick`, when all member I/Os have ended. No request
    /// is outstanding.
    package func rest(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        beginClearing(writtenBefore: bitmap!.tick + 1, into: &output)
        finishBatch(into: &output)
    }

    private func beginClearing(writtenBefore tick: UInt32, into output: inout PlannerOutput) {
        guard state == .healthy, !isParityDoubtful, bitmap!.clearingOutstanding == 0 else { return }
        bitmap!.isReadyToClear = false
        var isNeeded = false
        for region in 0..<bitmap!.regionCount {
            let isOld = bitmap!.regions[region].isDurable && bitmap!.regions[region].lastWrite < tick
            bitmap!.regions[region].isClearing = isOld
            if isOld { isNeeded = true }
        }
        guard isNeeded else { return }
        for operation in 0..<operationCapacity where operations[operation].phase != .free {
            guard operations[operation].kind != .read else { continue }
            for region in bitmap!.regions(of: operations[operation], geometry) {
                bitmap!.regions[region].isClearing = false
            }
        }
        for member in 0..<geometry.memberCount {
            let flush = memberFlush(member, token: token(.bitmapFlush))
            output.memberIOs.append(flush)
            bitmap!.clearingOutstanding += 1
            guard replacement?.member == member else { continue }
            emitToReplacement(flush, into: &output)
            bitmap!.clearingOutstanding += 1
        }
    }

    /// Takes the outcome of a flush before clearing. A failed one leaves all bits as they are, until the next tick.
    func completeBitmapFlush(_ status: MemberStatus) {
        if status != .done {
            for region in 0..<bitmap!.regionCount { bitmap!.regions[region].isClearing = false }
        }
        bitmap!.clearingOutstanding -= 1
        bitmap!.isReadyToClear = bitmap!.clearingOutstanding == 0
    }

    /// Whether `clearBits` has bits to clear: the flushes before it have ended.
    package var hasBitsToClear: Bool {
        guard let bitmap, bitmap.isReadyToClear, state == .healthy else { return false }
        return (0..<bitmap.regionCount).contains { bitmap.regions[$0].isClearing }
    }

    /// Clears the bits of regions without a write since `tick` or `rest`. The caller has renewed the members' mark
    /// after the flushes.
    /// their flushes.
    package func clearBits(into output: inout PlannerOutput) {
        guard hasBitsToClear, !isParityDoubtful else { return }
        bitmap!.isReadyToClear = false
        for region in 0..<bitmap!.regionCount where bitmap!.regions[region].isClearing {
            bitmap!.regions[region].isClearing = false
            bitmap!.regions[region].isDurable = false
            bitmap!.change(region, to: false)
        }
        finishBatch(into: &output)
    }
}
