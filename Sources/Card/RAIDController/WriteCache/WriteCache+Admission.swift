import RAID

/// The cache's verdict on a command: whether the cache serves it, or what must be destaged before it runs.
extension WriteCache {
    /// Judges a command that has arrived, or one that has waited.
    /// - Parameters:
    ///   - number: the command's number.
    ///   - request: the command's.
    ///   - isStarved: the command comes from the front of `starved`, and returns there if it still finds no room.
    ///   - started: receives the destage runs to request, whatever the verdict is.
    func admit(
        _ number: UInt32, _ command: UnsafeMutablePointer<CardCommand>, _ request: ArrayRequest, isStarved: Bool,
        started: inout [Int]
    ) -> Verdict {
        lock.withLock {
            if command.pointee.arrival == 0 { command.pointee.arrival = clock }
            let mark = command.pointee.arrival
            let sectors = SectorRange(of: request)
            var verdict: Verdict
            switch request.operation {
            case .flush where mark < cutAt:
                // What it was to make durable may be gone.
                verdict = .failed(.failed)
            case .flush: verdict = settle(.everything, number, mark, &started)
            case .write where isCacheable(request):
                verdict = take(sectors, number, isStarved, mark, &started)
            case .read where !command.pointee.isVerify:
                verdict = serve(sectors) ?? settle(sectors, number, mark, &started)
            case .read, .write, .zero: verdict = settle(sectors, number, mark, &started)
            }
            guard case .starves = verdict else { return verdict }
            if isStarved { starved.prepend(number, links: links) } else { starved.append(number, links: links) }
            return verdict
        }
    }

    /// Takes the first of the commands that wait for room or for a run, if any.
    func nextStarved() -> UInt32? { lock.withLock { starved.popFirst(links: links) } }

    private func isCacheable(_ request: ArrayRequest) -> Bool {
        !request.forceUnitAccess && request.byteCount <= writeByteCountMax
    }

    // MARK: Writes

    /// Gives a write its pages, or makes room for them.
    private func take(
        _ sectors: SectorRange, _ number: UInt32, _ isStarved: Bool, _ mark: UInt64, _ started: inout [Int]
    ) -> Verdict {
        var missing = 0
        for pageNumber in sectors.firstPage...sectors.lastPage {
            let page = index.find(pageNumber)
            if page == CardCachePage.none {
                missing += 1
            } else if pages[Int(page)].use != .resting {
                return wait(number, for: page)
            }
        }
        // Room goes to the commands that have waited longest.
        if missing > 0 && !isStarved && !starved.isEmpty { return .starves }
        if missing > freeCount { return makeRoom(missing - freeCount, mark, &started) }
        return .copyIn(first: chain(sectors))
    }

    /// Destages the oldest pages: enough for the present write, and some more for the next ones. This is the cache's
    /// rule of eviction.
    private func makeRoom(_ count: Int, _ mark: UInt64, _ started: inout [Int]) -> Verdict {
        let goal = max(count, pageCount / 8)
        var failure = ArrayStatus.done
        var page = dirtyList.first
        while destagingCount < goal, page != CardCachePage.none {
            let isResting = pages[Int(page)].use == .resting
            if isResting && pages[Int(page)].failedAt <= mark {
                guard destage(page, mark: mark, started: &started) else { break }
                page = dirtyList.first
            } else {
                if isResting { failure = failure.combined(with: pages[Int(page)].failure) }
                page = pages[Int(page)].next
            }
        }
        // No page is busy: the destages of all dirty pages have failed.
        return busyCount == 0 ? .failed(failure) : .starves
    }

    // MARK: Reads

    /// Gives a read its pages to copy from, if they hold all of its data and are resting.
    private func serve(_ sectors: SectorRange) -> Verdict? {
        guard sectors.pageCount <= UInt64(pageCount - freeCount) else { return nil }
        for number in sectors.firstPage...sectors.lastPage {
            let page = index.find(number)
            let mask = sectors.mask(inPage: number)
            guard page != CardCachePage.none, pages[Int(page)].use == .resting, pages[Int(page)].dirty & mask == mask
            else {
                return nil
            }
        }
        return .copyOut(first: chain(sectors))
    }

    /// Makes all pages of a range `copying`, claims missing ones, and links them.
    /// - Returns: the first page.
    private func chain(_ sectors: SectorRange) -> Int32 {
        var first = CardCachePage.none
        for number in (sectors.firstPage...sectors.lastPage).reversed() {
            var page = index.find(number)
            if page == CardCachePage.none { page = claimPage(number) }
            assert(pages[Int(page)].use == .resting || pages[Int(page)].dirty == 0, "the page is busy")
            pages[Int(page)].use = .copying
            pages[Int(page)].link = first
            busyCount += 1
            first = page
        }
        return first
    }

    // MARK: Everything else

    /// Destages the dirty data that a command overlaps and that is older than the command. The command runs when none
    /// is left.
    private func settle(
        _ sectors: SectorRange, _ number: UInt32, _ mark: UInt64, _ started: inout [Int]
    ) -> Verdict {
        let usedCount = UInt64(pageCount - freeCount)
        if usedCount == 0 { return .run }
        return sectors.pageCount <= usedCount
            ? settleByNumber(sectors, number, mark, &started) : settleByAge(sectors, number, mark, &started)
    }

    /// Settles a range of few pages: looks up each page.
    private func settleByNumber(
        _ sectors: SectorRange, _ number: UInt32, _ mark: UInt64, _ started: inout [Int]
    ) -> Verdict {
        var awaited = CardCachePage.none
        for pageNumber in sectors.firstPage...sectors.lastPage {
            let page = index.find(pageNumber)
            guard page != CardCachePage.none, pages[Int(page)].dirtyAt <= mark else { continue }
            if let verdict = settle(page, mark, &started) { return verdict }
            awaited = page
        }
        return awaited == CardCachePage.none ? .run : wait(number, for: awaited)
    }

    /// Settles a range of more pages than the cache holds: walks the dirty pages, then the destages.
    private func settleByAge(
        _ sectors: SectorRange, _ number: UInt32, _ mark: UInt64, _ started: inout [Int]
    ) -> Verdict {
        var awaited = CardCachePage.none
        var page = dirtyList.first
        while page != CardCachePage.none, pages[Int(page)].dirtyAt <= mark {
            if sectors.contains(page: pages[Int(page)].number) {
                if let verdict = settle(page, mark, &started) { return verdict }
                awaited = page
            }
            // The page's neighbours may have left the list with it.
            page = pages[Int(page)].isListed ? pages[Int(page)].next : dirtyList.first
        }
        if awaited != CardCachePage.none { return wait(number, for: awaited) }
        for run in 0..<Self.runCapacity
        where runs[run].isInUse && runs[run].dirtyAt <= mark && runs[run].sectors.sharesPage(with: sectors) {
            return wait(number, for: runPages[run * runPageCount])
        }
        return .run
    }

    /// Starts to destage a page unless it is busy already, so that a command can wait for it.
    /// - Returns: nil if the command can wait for the page; otherwise the command's verdict.
    private func settle(_ page: Int32, _ mark: UInt64, _ started: inout [Int]) -> Verdict? {
        if pages[Int(page)].use != .resting { return nil }
        if pages[Int(page)].failedAt > mark { return .failed(pages[Int(page)].failure) }
        return destage(page, mark: mark, started: &started) ? nil : .starves
    }

    private func wait(_ number: UInt32, for page: Int32) -> Verdict {
        assert(
            pages[Int(page)].use == .copying || pages[Int(page)].use == .destaging,
            "a command waits for a page that nobody works on")
        pages[Int(page)].waiters.append(number, links: links)
        return .waits
    }
}
