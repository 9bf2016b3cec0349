extension WriteCache {
    /// Asserts what holds whenever the lock is free: counts, list and index agree with the pages. Tests ask for it; in
    /// a release build, assertions are nothing.
    func checkInvariants() {
        lock.withLock {
            let all = (0..<pageCount).map { pages[$0] }
            assert(all.count { $0.use == .free } == freeCount, "the cache miscounts its free pages")
            assert(
                all.count { $0.use == .copying || $0.use == .destaging } == busyCount,
                "the cache miscounts its busy pages")
            assert(all.count { $0.use == .destaging } == destagingCount, "the cache miscounts its destages")
            assert(
                all.reduce(0) { $0 + $1.dirty.nonzeroBitCount } == Int(dirtySectorCount),
                "the cache miscounts its dirty sectors")
            for (page, state) in all.enumerated() { check(state, at: Int32(page)) }
            checkDirtyList(count: all.count { $0.isListed })
            checkRuns()
        }
    }

    private func check(_ page: CardCachePage, at position: Int32) {
        switch page.use {
        case .free: assert(page.dirty == 0 && !page.isListed && page.runCount == 0, "a free page is in use")
        case .resting:
            assert(page.dirty != 0 && page.isListed && page.runCount == 0, "a page rests that has nothing to destage")
            assert(page.waiters.isEmpty, "a command waits for a page that nobody works on")
        case .copying: assert(page.runCount == 0, "a page is copied that is being destaged")
        case .destaging: assert(!page.isListed && page.runCount > 0, "a page is being destaged by no run")
        }
        assert(page.use == .free || index.find(page.number) == position, "a page is not found by its number")
    }

    private func checkDirtyList(count: Int) {
        var (listed, page, dirtyAt) = (0, dirtyList.first, UInt64(0))
        while page != CardCachePage.none, listed <= pageCount {
            let pointer = pages + Int(page)
            assert(pointer.pointee.isListed && pointer.pointee.dirtyAt >= dirtyAt, "the dirty list is out of order")
            dirtyAt = pointer.pointee.dirtyAt
            listed += 1
            page = pointer.pointee.next
        }
        assert(listed == count, "the dirty list has lost a page, or keeps one that is gone")
    }

    /// A page is in as many runs as it says.
    private func checkRuns() {
        var counts = Array(repeating: 0, count: pageCount)
        for run in 0..<Self.runCapacity where runs[run].isInUse {
            for place in 0..<Int(runs[run].sectors.pageCount) { counts[Int(runPages[run * runPageCount + place])] += 1 }
        }
        assert(
            counts.indices.allSatisfy { counts[$0] == Int(pages[$0].runCount) }, "a page is in other runs than it says")
    }
}
