import BlockStorage

/// Trims and zeroing of whole blocks, which the raw device does by itself.
extension CachedRequest {
    /// Under the table's lock: sets a barrier around the range, waits for raw I/O under way in it, and starts.
    func pass(_ table: PageTable) -> Step {
        let pages = PageRange(touching: passed)
        if !hasBarrier {
            if wasCut(table) { return .ended(.inputOutput) }
            if table.waitForBarrier(pages, waiter) { return .waiting }
            table.barriers.append(PageBarrier(pages: pages, owner: waiter))
            hasBarrier = true
        }
        if let busy = table.numbers(in: pages, where: { $0.isBusy }).first {
            table.wait(forPage: busy, waiter)
            return .waiting
        }
        rawWork = .pass
        var flags = request.flags
        // A flush follows. The edges need it anyway.
        flags.remove(.forceUnitAccess)
        return .raw(
            BlockRequest(
                operation: request.operation, flags: flags, tag: waiter.tag, byteOffset: passed.lowerBound,
                byteCount: UInt32(passed.count)))
    }

    /// Under the table's lock: drops the cache's content of the range, unless the operation failed, and takes the
    /// barrier down.
    func endPass(_ error: inout BlockError, _ table: PageTable, waking woken: inout [Waiter]) {
        if error == .none { table.drop(passed) }
        table.removeBarrier(waiter, waking: &woken)
        hasBarrier = false
        if error == .none && wasCut(table) { error = .inputOutput }
    }
}
