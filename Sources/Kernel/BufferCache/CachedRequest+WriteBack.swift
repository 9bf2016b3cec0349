import BlockStorage
import Glibc

/// Write back of dirty sectors to the raw device, for durability or to make room.
extension CachedRequest {
    /// Under the table's lock: starts to write back the rest of the next page that must become durable, together with
    /// the dirty sectors that follow it on the device.
    /// - Returns: nil if the page has no rest.
    func writeBackNext(_ table: PageTable) -> Step? {
        if wasCut(table) { return .ended(.inputOutput) }
        let number = targets[targetIndex]
        let start = number * CachePage.byteCount
        let done = min(max(writtenEnd, start) - start, CachePage.byteCount)
        guard done < CachePage.byteCount, let slot = table.slot(of: number) else {
            targetIndex += 1
            return nil
        }
        if table.waitForBarrier(number..<number + 1, waiter) { return .waiting }
        let page = table.pages[slot]
        if page.writing != 0 {
            // Another request writes the page back. That may fail and leave the sectors dirty.
            table.wait(forPage: number, waiter)
            return .waiting
        }
        let dirty = page.dirty & ~CachePage.mask(0..<Int(done / CachePage.sectorByteCount))
        guard dirty != 0 else {
            targetIndex += 1
            return nil
        }
        return writeBack(from: start + UInt64(dirty.trailingZeroBitCount) * CachePage.sectorByteCount, table)
    }

    /// Under the table's lock, with no page clean and idle: starts to write back some dirty pages, or waits.
    func makeRoom(_ table: PageTable) -> Step {
        guard var number = table.writeBackVictim() else {
            table.waitForRoom(waiter)
            return .waiting
        }
        var page = table.pages[table.slot(of: number)!]
        for _ in 1..<StagingPool.largePageCount {
            guard page.dirty & 1 != 0, number > 0, let slot = table.slot(of: number - 1),
                table.isReadyForWriteBack(table.pages[slot]),
                table.pages[slot].dirty >> (CachePage.sectorCount - 1) != 0
            else { break }
            number -= 1
            page = table.pages[slot]
        }
        let start = number * CachePage.byteCount
        return writeBack(from: start + UInt64(page.dirty.trailingZeroBitCount) * CachePage.sectorByteCount, table)
    }

    /// Under the table's lock: makes the dirty sectors from byte `start` of the device up to the next gap busy, and
    /// starts to write them back.
    private func writeBack(from start: UInt64, _ table: PageTable) -> Step {
        let byteCountMax = UInt64(StagingPool.largePageCount) * CachePage.byteCount
        let dirty = dirtyRun(from: start, byteCountMax: byteCountMax, table)
        let pageCount = (dirty.count + Int(CachePage.byteCount) - 1) / Int(CachePage.byteCount)
        guard let buffer = table.staging.take(pageCount: pageCount) else {
            table.waitForRoom(waiter)
            return .waiting
        }
        let capacity = UInt64(buffer.pageCount) * CachePage.byteCount
        run = start..<min(dirty.upperBound, start + capacity, table.deviceByteCount)
        self.buffer = buffer
        for number in runPages {
            let sectors = CachePage.sectors(touching: runPart(of: number))
            table.update(table.slot(of: number)!) { page in
                page.dirty &= ~sectors
                page.writing = sectors
            }
        }
        rawWork = .writeBack
        return .raw(
            BlockRequest(
                operation: .write, tag: waiter.tag, byteOffset: run.lowerBound, byteCount: UInt32(run.count),
                buffer: buffer.base))
    }

    /// The run of the device's bytes from `start` on whose sectors are dirty and can be written back now.
    private func dirtyRun(from start: UInt64, byteCountMax: UInt64, _ table: PageTable) -> Range<UInt64> {
        var end = start
        while end < start + byteCountMax {
            guard let slot = table.slot(of: end / CachePage.byteCount), table.isReadyForWriteBack(table.pages[slot])
            else { break }
            let first = Int(end % CachePage.byteCount / CachePage.sectorByteCount)
            let count = (~(table.pages[slot].dirty >> first)).trailingZeroBitCount
            end += UInt64(count) * CachePage.sectorByteCount
            if first + count < CachePage.sectorCount { break }
        }
        return start..<min(end, start + byteCountMax)
    }

    /// The bytes of the run in a page, from the page's start.
    private func runPart(of number: UInt64) -> Range<Int> {
        let start = number * CachePage.byteCount
        let part = run.clamped(to: start..<start + CachePage.byteCount)
        return Int(part.lowerBound - start)..<Int(part.upperBound - start)
    }

    /// Copies the run to the staging buffer. Its pages are busy, so they stay where they are. A request that writes to
    /// them meanwhile makes them dirty again.
    func copyOut(_ table: PageTable) {
        for number in runPages {
            let part = runPart(of: number)
            let target = buffer!.base + Int(number * CachePage.byteCount) + part.lowerBound - Int(run.lowerBound)
            table.lock.withLock {
                _ = memcpy(target, table.content(table.slot(of: number)!) + part.lowerBound, part.count)
            }
        }
    }

    /// Ends a write back. After a failure its sectors are dirty again.
    func endWriteBack(_ error: BlockError, _ table: PageTable, waking woken: inout [Waiter]) {
        for number in runPages {
            table.lock.withLock {
                let slot = table.slot(of: number)!
                table.update(slot) { page in
                    if error != .none { page.dirty |= page.writing & page.valid }
                    page.writing = 0
                }
                table.settle(slot, waking: &woken)
            }
        }
        if phase == .writeBack { writtenEnd = run.upperBound }
        releaseBuffer(table, waking: &woken)
    }
}
