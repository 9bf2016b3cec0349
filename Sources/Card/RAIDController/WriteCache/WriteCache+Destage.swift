import Glibc
import RAID

/// From dirty pages to array requests.
extension WriteCache {
    /// Starts to destage a resting page, and the dirty pages next to it in its stripe. Under the lock.
    /// - Parameters:
    ///   - mark: a time of the cache's clock; pages whose destage failed later are left out.
    ///   - started: receives the runs to gather and request.
    /// - Returns: whether the page is being destaged; false when the free runs did not suffice.
    func destage(_ page: Int32, mark: UInt64, started: inout [Int]) -> Bool {
        assert(pages[Int(page)].use == .resting && pages[Int(page)].dirty != 0, "the page has nothing to destage")
        let number = pages[Int(page)].number
        let stripe = number - number % stripePageCount
        var first = number
        while first > stripe, number - first + 1 < UInt64(runPageCount), canDestage(index.find(first - 1), mark) {
            first -= 1
        }
        var run: Int?
        for neighbour in first..<stripe + stripePageCount {
            let page = index.find(neighbour)
            guard canDestage(page, mark), addRuns(of: page, &run, started: &started) else { break }
        }
        return pages[Int(page)].use == .destaging
    }

    private func canDestage(_ page: Int32, _ mark: UInt64) -> Bool {
        page != CardCachePage.none && pages[Int(page)].use == .resting && pages[Int(page)].failedAt <= mark
    }

    /// Adds a page's dirty sectors to the run that ends where the page begins, or to new runs.
    /// - Parameter run: the last run, if it can be continued.
    /// - Returns: false when the free runs did not suffice.
    private func addRuns(of page: Int32, _ run: inout Int?, started: inout [Int]) -> Bool {
        let pointer = pages + Int(page)
        let start = pointer.pointee.number * CardCachePage.sectorCount
        // A run that ended before this page's first sector, or that is full, cannot be continued.
        if let last = run, runs[last].sectors.end != start || runs[last].sectors.pageCount == UInt64(runPageCount) {
            run = nil
        }
        var isInRun = false
        for bit in 0..<CardCachePage.sectorCount {
            guard pointer.pointee.dirty >> UInt8(bit) & 1 != 0 else {
                run = nil
                isInRun = false
                continue
            }
            if run == nil {
                guard let free = (0..<Self.runCapacity).first(where: { !runs[$0].isInUse }) else { return false }
                runs[free] = DestageRun(sectors: SectorRange(first: start + bit, end: start + bit))
                started.append(free)
                run = free
            }
            if !isInRun {
                isInRun = true
                join(page, run!)
            }
            runs[run!].sectors.end += 1
        }
        return true
    }

    /// Puts a page into a run, and marks the page as `destaging`.
    private func join(_ page: Int32, _ run: Int) {
        let pointer = pages + Int(page)
        let place = Int(pointer.pointee.number - runs[run].sectors.firstPage)
        runPages[run * runPageCount + place] = page
        runs[run].dirtyAt = min(runs[run].dirtyAt, pointer.pointee.dirtyAt)
        pointer.pointee.runCount += 1
        guard pointer.pointee.use == .resting else { return }
        assert(pointer.pointee.runCount == 1, "a page that rests is in another run")
        pointer.pointee.use = .destaging
        dirtyList.remove(page)
        busyCount += 1
        destagingCount += 1
    }

    /// Gathers a started run's data, and makes the array request that writes it. The lock is not held.
    func request(ofRun run: Int, tag: UInt32) -> ArrayRequest {
        let sectors = runs[run].sectors
        assert(runs[run].isInUse && sectors.pageCount <= UInt64(runPageCount), "the run is not in use, or too long")
        let base = sectors.firstPage * UInt64(CardCachePage.byteCount)
        for (place, number) in (sectors.firstPage...sectors.lastPage).enumerated() {
            let part = sectors.part(inPage: number)
            let inPage = Int(part.first % CardCachePage.sectorCount * SectorRange.sectorByteCount)
            memcpy(
                data(ofRun: run) + Int(part.byteOffset - base),
                data(ofPage: runPages[run * runPageCount + place]) + inPage, Int(part.byteCount))
        }
        return ArrayRequest(
            .write, byteOffset: sectors.byteOffset, byteCount: sectors.byteCount,
            memory: data(ofRun: run) + Int(sectors.byteOffset - base), tag: tag)
    }

    /// Ends a destage. Pages that were not written stay dirty, and keep the status.
    /// - Parameter resumed: receives the commands that waited for pages of the run.
    /// - Returns: whether commands can be resumed.
    func endRun(_ run: Int, _ status: ArrayStatus, resuming resumed: inout [UInt32]) -> Bool {
        lock.withLock {
            let sectors = runs[run].sectors
            assert(runs[run].isInUse, "the run has ended before")
            if status != .done { clock += 1 }
            for (place, number) in (sectors.firstPage...sectors.lastPage).enumerated() {
                let page = runPages[run * runPageCount + place]
                let pointer = pages + Int(page)
                if status == .done {
                    let written = pointer.pointee.dirty & sectors.mask(inPage: number)
                    dirtySectorCount -= UInt64(written.nonzeroBitCount)
                    pointer.pointee.dirty &= ~written
                } else {
                    pointer.pointee.failedAt = clock
                    pointer.pointee.failure = status
                }
                assert(pointer.pointee.runCount > 0 && pointer.pointee.number == number, "the page is in no such run")
                pointer.pointee.runCount -= 1
                if pointer.pointee.runCount == 0 {
                    destagingCount -= 1
                    release(page, resuming: &resumed)
                }
            }
            runs[run] = DestageRun()
            return !resumed.isEmpty || !starved.isEmpty
        }
    }
}
