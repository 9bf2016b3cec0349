import BlockStorage
import Glibc

/// Transfers between a request's buffer and the cache, and the reads from the raw device that they need.
extension CachedRequest {
    /// Under the table's lock: moves the next page's bytes, or starts what must happen before.
    /// - Returns: nil if they were moved.
    func transferPage(_ table: PageTable) -> Step? {
        if !isRead && wasCut(table) { return .ended(.inputOutput) }
        let number = transfer.lowerBound / CachePage.byteCount
        if table.waitForBarrier(number..<number + 1, waiter) { return .waiting }
        let needed = neededSectors(of: number)
        if let slot = table.slot(of: number) {
            let page = table.pages[slot]
            if needed & ~page.valid != 0 {
                guard page.isBusy else { return fill(table) }
                table.wait(forPage: number, waiter)
                return .waiting
            }
            move(slot, table)
            return nil
        }
        if needed != 0 { return fill(table) }
        guard let slot = table.insert(number) else { return makeRoom(table) }
        move(slot, table)
        return nil
    }

    /// The request's bytes in a page, from the page's start.
    private func part(of number: UInt64) -> Range<Int> {
        let start = number * CachePage.byteCount
        let part = transfer.clamped(to: start..<start + CachePage.byteCount)
        return Int(part.lowerBound - start)..<Int(part.upperBound - start)
    }

    /// The sectors of a page that must be valid before the request's bytes can move.
    private func neededSectors(of number: UInt64) -> UInt32 {
        isRead ? CachePage.sectors(touching: part(of: number)) : CachePage.sectors(cutBy: part(of: number))
    }

    /// Under the table's lock: copies the first page's part of `transfer`.
    private func move(_ slot: Int, _ table: PageTable) {
        let part = part(of: table.pages[slot].number)
        let place = table.content(slot) + part.lowerBound
        let memory = request.buffer.map { $0 + Int(transfer.lowerBound - request.byteOffset) }
        switch request.operation {
        case .read: memcpy(memory!, place, part.count)
        case .write: memcpy(place, memory!, part.count)
        case .writeZeroes, .trim: memset(place, 0, part.count)
        case .flush: preconditionFailure("\(request.operation) moves no data")
        }
        let changed = isRead ? 0 : CachePage.sectors(touching: part)
        table.update(slot) { page in
            page.valid |= changed
            page.dirty |= changed
            page.isReferenced = true
        }
        transfer = transfer.lowerBound + UInt64(part.count)..<transfer.upperBound
    }

    // MARK: Filling

    /// Under the table's lock: starts to read the request's missing pages from the next one on; for a write, that page
    /// only.
    private func fill(_ table: PageTable) -> Step {
        let first = transfer.lowerBound / CachePage.byteCount
        let wanted = isRead ? PageRange(touching: transfer) : first..<first + 1
        let pageCountMax = min(wanted.count, StagingPool.largePageCount)
        guard let buffer = table.staging.take(pageCount: pageCountMax) else {
            table.waitForRoom(waiter)
            return .waiting
        }
        var next = first
        let limit = min(wanted.upperBound, first + UInt64(buffer.pageCount))
        while next < limit, claimForFill(next, table) { next += 1 }
        guard next > first else {
            table.staging.giveBack(buffer)
            return makeRoom(table)
        }
        run = first * CachePage.byteCount..<min(next * CachePage.byteCount, table.deviceByteCount)
        self.buffer = buffer
        fillPowerCutCount = table.powerCutCount
        rawWork = .fill
        return .raw(
            BlockRequest(
                operation: .read, tag: waiter.tag, byteOffset: run.lowerBound, byteCount: UInt32(run.count),
                buffer: buffer.base))
    }

    /// Under the table's lock: makes a page that the request lacks busy for it, unless a barrier, other I/O or lack of
    /// room prevents that.
    private func claimForFill(_ number: UInt64, _ table: PageTable) -> Bool {
        if table.barriers.contains(where: { $0.pages.contains(number) }) { return false }
        if let slot = table.slot(of: number) {
            let page = table.pages[slot]
            guard !page.isBusy, neededSectors(of: number) & ~page.valid != 0 else { return false }
            table.update(slot) { $0.isFilling = true }
            return true
        }
        guard let slot = table.insert(number) else { return false }
        table.update(slot) { $0.isFilling = true }
        return true
    }

    /// Puts the read sectors into the cache where it has none, and moves the request's bytes.
    ///
    /// After a power cut the request reads again, since a write back may have come between.
    func endFill(_ error: BlockError, _ table: PageTable, waking woken: inout [Waiter]) {
        for number in runPages {
            table.lock.withLock {
                let slot = table.slot(of: number)!
                let isGood = error == .none && table.powerCutCount == fillPowerCutCount
                if isGood { install(slot, table) }
                table.update(slot) { $0.isFilling = false }
                if isGood, transfer.lowerBound / CachePage.byteCount == number, isRead || !wasCut(table) {
                    move(slot, table)
                }
                table.settle(slot, waking: &woken)
            }
        }
        releaseBuffer(table, waking: &woken)
    }

    /// Under the table's lock: copies the sectors that a page lacks from the staging buffer.
    private func install(_ slot: Int, _ table: PageTable) {
        let page = table.pages[slot]
        let present = table.sectorsPresent(in: page.number)
        let source = buffer!.base + Int(page.number * CachePage.byteCount - run.lowerBound)
        let size = Int(CachePage.sectorByteCount)
        if page.valid == 0 {
            memcpy(table.content(slot), source, present.nonzeroBitCount * size)
        } else {
            for sector in 0..<CachePage.sectorCount where present & ~page.valid & (1 << sector) != 0 {
                memcpy(table.content(slot) + sector * size, source + sector * size, size)
            }
        }
        table.update(slot) { $0.valid |= present }
    }

    func releaseBuffer(_ table: PageTable, waking woken: inout [Waiter]) {
        table.lock.withLock { table.release(buffer!, waking: &woken) }
        buffer = nil
    }
}
