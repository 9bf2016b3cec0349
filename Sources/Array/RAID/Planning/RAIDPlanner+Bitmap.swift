import MDFormat
import MemberIO

/// The write path's stop at the write-intent bitmap, between an operation's reads and its writes, and how bits are
/// cleared.
extension RAIDPlanner {
    /// Lets an operation wait until its regions' bits are durable.
    /// - Returns: false when they are already.
    func awaitBits(_ slot: Int32) -> Bool {
        let regions = bitmap!.regions(of: operations[Int(slot)], geometry)
        guard !bitmap!.touch(regions) else { return false }
        bitmap!.set(regions)
        operations[Int(slot)].phase = .protecting
        bitmap!.waiting.append(slot, in: operations)
        return true
    }

    /// Begins a round when there is something to write and none is under way.
    func advanceBitmap(into output: inout PlannerOutput) {
        guard bitmap!.roundOutstanding == 0 else { return }
        // The bits that a round would set may have become durable with the last one, which others began.
        guard bitmap!.hasChangedPages else { return releaseWaiting(into: &output) }
        guard state != .failed else { return endWaiting(.failed) }
        bitmap!.round = bitmap!.waiting
        bitmap!.waiting = OperationList()
        bitmap!.roundStatus = .done
        bitmap!.hasChangedPages = false
        for page in 0..<bitmap!.pageCount {
            bitmap!.isPageInRound[page] = bitmap!.isPageChanged[page]
            bitmap!.isPageChanged[page] = false
            guard bitmap!.isPageInRound[page] else { continue }
            // The header is in front of the first page's bits, and belongs to whoever writes superblocks.
            let first = page * MDBitmap.pageByteCount
            let skipped = page == 0 ? MDBitmap.headerByteCount : 0
            for member in 0..<geometry.memberCount where member != absent {
                output.memberIOs.append(
                    MemberIO(
                        kind: .durableWrite, member: member,
                        byteOffset: bitmap!.byteOffsets[member] + UInt64(first + skipped),
                        byteCount: MDBitmap.pageByteCount - skipped, memory: bitmap!.memory + first + skipped,
                        token: token(Self.bitmapWriteToken)))
                bitmap!.roundOutstanding += 1
            }
        }
    }

    /// A write of a round came back. What a failed member missed is made good by the others.
    func completeBitmapWrite(_ status: MemberStatus, into output: inout PlannerOutput) {
        bitmap!.roundOutstanding -= 1
        switch status {
        case .noSpace: bitmap!.roundStatus = bitmap!.roundStatus.combined(with: .noSpace)
        case .refused: bitmap!.roundStatus = bitmap!.roundStatus.combined(with: .refused)
        case .done, .unreadable, .failed: break
        }
        guard bitmap!.roundOutstanding == 0 else { return }
        if bitmap!.roundStatus != .done { bitmap!.failRound() }
        while let slot = bitmap!.round.popFirst(in: operations) {
            let regions = bitmap!.regions(of: operations[Int(slot)], geometry)
            if bitmap!.roundStatus != .done {
                end(slot, bitmap!.roundStatus)
            } else {
                for region in regions { bitmap!.regions[region].isDurable = true }
                startWriting(slot, into: &output)
            }
        }
    }

    private func releaseWaiting(into output: inout PlannerOutput) {
        while let slot = bitmap!.waiting.popFirst(in: operations) {
            startWriting(slot, into: &output)
        }
    }

    private func endWaiting(_ status: ArrayStatus) {
        while let slot = bitmap!.waiting.popFirst(in: operations) { end(slot, status) }
    }

    // MARK: What an absent member misses

    /// The first byte of the members' data areas, at or behind one, whose bit is set; nil when there is none. Without a
    /// bitmap every byte may have been written to. Bits are set since the last time that all members were in sync, or
    /// somewhat longer.
    package func nextWritten(from byteOffset: UInt64) -> UInt64? {
        guard let bitmap else { return byteOffset < geometry.memberDataByteCount ? byteOffset : nil }
        return bitmap.nextSet(from: byteOffset).flatMap { $0 < geometry.memberDataByteCount ? $0 : nil }
    }

    /// How many regions' bits are set, and how many regions there are; both 0 without a bitmap.
    package var writtenRegions: (count: Int, total: Int) {
        bitmap.map { ($0.setCount, $0.regionCount) } ?? (0, 0)
    }

    /// Whether a bit of an operation's regions is set.
    func isWritten(_ operation: StripeOperation) -> Bool {
        guard let bitmap else { return true }
        return bitmap.regions(of: operation, geometry).contains { bitmap.isSet($0) }
    }

    // MARK: Clearing

    /// A period of the bitmap passed (`MDBitmap.daemonSleepSeconds`). Bits of regions that nothing was written to for
    /// two of them can be cleared after a flush (`clearBits`); none while a member is missing, since they say what it misses, or while
    /// parity is in doubt.
    package func tick(into output: inout PlannerOutput) {
        guard bitmap != nil else { return }
        bitmap!.tick += 1
        for page in 0..<bitmap!.pageCount where bitmap!.isPageChanged[page] { bitmap!.hasChangedPages = true }
        beginClearing(writtenBefore: bitmap!.tick - 1, into: &output)
        finishBatch(into: &output)
    }

    /// The array comes to rest: all bits can be cleared, as after `tick`, when all member I/Os have ended. No request is
    /// outstanding.
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
            let flush = memberFlush(member, token: token(Self.bitmapFlushToken))
            output.memberIOs.append(flush)
            bitmap!.clearingOutstanding += 1
            guard replacement?.member == member else { continue }
            emitToReplacement(flush, into: &output)
            bitmap!.clearingOutstanding += 1
        }
    }

    /// A flush before clearing came back. One that failed leaves all bits as they are, until the next tick.
    func completeBitmapFlush(_ status: MemberStatus) {
        if status != .done {
            for region in 0..<bitmap!.regionCount { bitmap!.regions[region].isClearing = false }
        }
        bitmap!.clearingOutstanding -= 1
        bitmap!.isReadyToClear = bitmap!.clearingOutstanding == 0
    }

    /// Whether the flushes are done after which `clearBits` may clear some.
    package var hasBitsToClear: Bool {
        guard let bitmap, bitmap.isReadyToClear, state == .healthy else { return false }
        return (0..<bitmap.regionCount).contains { bitmap.regions[$0].isClearing }
    }

    /// Clears the bits of regions that nothing was written to since `tick` or `rest`. The members' mark was renewed after
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
