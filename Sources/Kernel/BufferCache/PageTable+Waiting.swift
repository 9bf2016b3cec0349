/// A range of pages that the raw device is changing by itself. No other request may use them meanwhile.
struct PageBarrier {
    let pages: PageRange
    /// The request that set it up.
    let owner: Waiter
    var waiters: [Waiter] = []
}

/// Waiting. A request that cannot go on registers under the same hold of the lock in which it saw the reason, and is
/// resumed once. It holds nothing that another request waits for except its barrier, and behind its barrier it waits
/// only for raw I/O that is already under way.
extension PageTable {
    /// Makes a request wait for the release of a page or a staging buffer.
    func waitForRoom(_ waiter: Waiter) { roomWaiters.append(waiter) }

    /// Makes a request wait for the end of a page's I/O.
    func wait(forPage number: UInt64, _ waiter: Waiter) { pageWaiters[number, default: []].append(waiter) }

    /// Makes a request wait if a range meets a barrier.
    /// - Returns: whether it does.
    func waitForBarrier(_ pages: PageRange, _ waiter: Waiter) -> Bool {
        guard let index = barriers.firstIndex(where: { $0.pages.overlaps(pages) }) else { return false }
        barriers[index].waiters.append(waiter)
        return true
    }

    /// Takes down a request's barrier.
    func removeBarrier(_ owner: Waiter, waking woken: inout [Waiter]) {
        let index = barriers.firstIndex { $0.owner.mailbox === owner.mailbox && $0.owner.tag == owner.tag }!
        woken += barriers.remove(at: index).waiters
        wakeRoom(&woken)
    }

    /// Gives a staging buffer back.
    func release(_ buffer: StagingBuffer, waking woken: inout [Waiter]) {
        staging.giveBack(buffer)
        wakeRoom(&woken)
    }

    func wake(page number: UInt64, _ woken: inout [Waiter]) {
        if let waiters = pageWaiters.removeValue(forKey: number) { woken += waiters }
        wakeRoom(&woken)
    }

    func wakeRoom(_ woken: inout [Waiter]) {
        woken += roomWaiters
        roomWaiters.removeAll(keepingCapacity: true)
    }
}
