import Glibc

/// Copying between commands and pages.
extension WriteCache {
    /// Copies a command's data into its chain of pages, or out of it. The lock is not held.
    func copy(_ sectors: SectorRange, _ data: UnsafeMutableRawPointer, first: Int32, isWrite: Bool) {
        var page = first
        for number in sectors.firstPage...sectors.lastPage {
            let part = sectors.part(inPage: number)
            assert(pages[Int(page)].number == number && pages[Int(page)].use == .copying, "the page is another's")
            let inPage =
                self.data(ofPage: page) + Int(part.first % CardCachePage.sectorCount * SectorRange.sectorByteCount)
            let outside = data + Int(part.byteOffset - sectors.byteOffset)
            if isWrite {
                memcpy(inPage, outside, Int(part.byteCount))
            } else {
                memcpy(outside, inPage, Int(part.byteCount))
            }
            page = pages[Int(page)].link
        }
    }

    /// Ends the copying of a command. The data that it wrote becomes dirty.
    /// - Parameter resumed: receives the commands that waited for the pages.
    /// - Returns: whether commands can be resumed.
    func endCopy(_ sectors: SectorRange, first: Int32, isWrite: Bool, resuming resumed: inout [UInt32]) -> Bool {
        lock.withLock {
            if isWrite { clock += 1 }
            var page = first
            for number in sectors.firstPage...sectors.lastPage {
                let next = pages[Int(page)].link
                assert(pages[Int(page)].number == number && pages[Int(page)].use == .copying, "the page is another's")
                if isWrite { makeDirty(page, sectors.mask(inPage: number)) }
                release(page, resuming: &resumed)
                page = next
            }
            return !resumed.isEmpty || !starved.isEmpty
        }
    }

    private func makeDirty(_ page: Int32, _ mask: UInt8) {
        let pointer = pages + Int(page)
        assert(mask != 0, "nothing was written to the page")
        dirtySectorCount += UInt64((mask & ~pointer.pointee.dirty).nonzeroBitCount)
        if pointer.pointee.dirty == 0 { pointer.pointee.dirtyAt = clock }
        pointer.pointee.dirty |= mask
    }
}
